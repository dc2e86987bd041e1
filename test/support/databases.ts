import type { RowDataPacket } from 'mysql2';
import { connect, type Mysql } from '../../local/mysql.ts';
import { started, worker } from './started.ts';

type Admin = Awaited<ReturnType<typeof connect>>;

const schemas = ['signalbox', 'user_prop_db', 'push_db', 'anjuke_db', 'order_db'];
let admin: Admin | undefined;

const server = await started(`mysql-${worker}`);

/** This worker's own MySQL. */
export const serverOfWorker = (): Mysql => server;

/** A connection to it with all rights. */
async function database(): Promise<Admin> {
  admin ??= await connect(serverOfWorker());
  return admin;
}

/**
 * Empties every table, upstream's too, and numbers begin anew. Only tables that were written to are truncated: to
 * truncate all of them takes twenty times as long as to look.
 */
export async function resetDatabases(): Promise<void> {
  const mysql = await database();
  const tables = await rowsOf(
    `select /*+ set_var(information_schema_stats_expiry = 0) */ concat('\`', table_schema, '\`.\`', table_name, '\`') name,
       coalesce(auto_increment, 1) > 1 numbered
     from information_schema.tables where table_schema in (?) and table_name <> 'migration'`,
    [schemas],
  );
  const looks = tables.map(({ name }) => `select exists (select 1 from ${name}) found`);
  const filled = await rowsOf(looks.join(' union all '));
  const written = tables.filter(
    ({ numbered }, index) => Number(numbered) || Number(filled[index]?.['found']),
  );
  const statements = written.map(({ name }) => `truncate table ${name}`);
  if (statements.length) await mysql.query(statements.join(';'));
}

type Row = Record<string, unknown>;

export async function rowsOf(sql: string, values: unknown[] = []): Promise<Row[]> {
  const [rows] = await (await database()).query<RowDataPacket[]>(sql, values);
  return rows.map((row) => ({ ...row }));
}

export async function run(sql: string, values: unknown[] = []): Promise<void> {
  await (await database()).query(sql, values);
}

/** Turns a kill switch, as `platform/set-switch` does. */
export async function turn(name: string, state: 'off' | 'on'): Promise<void> {
  await run(
    "replace into signalbox.switch (name, state, `by`, why) values (?, ?, 'test', 'test')",
    [name, state],
  );
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
