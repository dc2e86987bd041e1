import type { RowDataPacket } from 'mysql2';
import { inject } from 'vitest';
import { connect, type Mysql } from '../../local/mysql.ts';

type Admin = Awaited<ReturnType<typeof connect>>;

const schemas = ['signalbox', 'user_prop_db', 'push_db', 'anjuke_db', 'order_db'];
let admin: Admin | undefined;

/** This worker's own MySQL. */
export function serverOfWorker(): Mysql {
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);
  const server = inject('servers')[worker - 1];
  if (!server) throw new Error(`No MySQL was started for worker ${worker}.`);
  return server;
}

/** A connection to it with all rights. */
async function database(): Promise<Admin> {
  admin ??= await connect(serverOfWorker());
  return admin;
}

/** Empties every table, upstream's too. */
export async function resetDatabases(): Promise<void> {
  const mysql = await database();
  const tables = await rowsOf(
    `select concat('truncate table \`', table_schema, '\`.\`', table_name, '\`') statement from information_schema.tables
     where table_schema in (?) and table_name <> 'migration'`,
    [schemas],
  );
  if (tables.length) await mysql.query(tables.map(({ statement }) => statement).join(';'));
}

type Row = Record<string, unknown>;

export async function rowsOf(sql: string, values: unknown[] = []): Promise<Row[]> {
  const [rows] = await (await database()).query<RowDataPacket[]>(sql, values);
  return rows.map((row) => ({ ...row }));
}

export async function run(sql: string, values: unknown[] = []): Promise<void> {
  await (await database()).query(sql, values);
}

/** A broker as upstream has it; `stamp` is its updated_datetime, and that of its telephone number, if it has one. */
export async function upstreamBroker(
  id: number | string,
  {
    name = `经纪人${id}`,
    status = 1,
    stamp = '2026-11-20 10:00:00',
    mobile = '13800000001' as string | null,
    extension = true,
  } = {},
): Promise<void> {
  await run("replace into anjuke_db.ajk_broker values (?, ?, 11, 101, 1001, 'photo.jpg', ?, ?)", [
    id,
    name,
    status,
    stamp,
  ]);
  if (extension)
    await run('replace into anjuke_db.ajk_brokerextend values (?, ?, ?)', [id, mobile, stamp]);
}
