/** Measures the propagation of broker changes beside the bare reads and writes. */
import { join } from 'node:path';
import { Kysely, MysqlDialect } from 'kysely';
import type { PoolConnection, RowDataPacket } from 'mysql2';
import { applyEvent } from '../lib/broker/apply/apply-event.ts';
import { profileKey } from '../lib/broker/cache-keys.ts';
import { sources } from '../lib/broker/queues.ts';
import { connectionsPerInstanceMax } from '../lib/platform/names.ts';
import { connect } from '../local/mysql.ts';
import { Processes } from '../local/processes.ts';
import { table } from '../local/progress.ts';
import { seedBrokers } from '../local/upstream.ts';
import { startDatabase } from '../test/simulation/database.ts';
import { asked, barePool, lent } from './bare.ts';

const changes = 50_000;
const idsPerMessage = 100;
const idsPerSlice = 2_500;
/** Each has a third of the changes in a round, slice by slice in turn; one round more is for warming up. */
const rounds = 9;
const ratioMin = 0.8;

type Server = { readonly host: string; readonly port: number };
type Admin = Awaited<ReturnType<typeof connect>>;

/** Fifty thousand changes from message to site beside the same SQL with nothing around it. */
export async function benchPropagate(dir: string): Promise<string> {
  const processes = new Processes(join(dir, 'propagate'));
  const awake = setInterval(() => {}, 1000); // The end of a server alone keeps no process waiting.
  try {
    const server = await startDatabase(processes, join(dir, 'mysql'));
    await seedBrokers(server, changes);
    const admin = await connect(server);
    const contenders = [oursOn(server), bareOn(server, follow), bareOn(server)];
    await inTurns(admin, 'warm:', contenders, 0);
    const seconds = contenders.map(() => 0);
    for (let round = 0; round < rounds; round++)
      for (const [index, took] of (await inTurns(admin, `${round}:`, contenders, round)).entries())
        seconds[index] = (seconds[index] ?? 0) + took;
    await admin.end();
    return shown(seconds);
  } finally {
    await processes.endAll();
    clearInterval(awake);
  }
}

type Apply = (ids: string[]) => Promise<void>;

/**
 * Changes every broker upstream, lets the site have it, and looks whether it has. Who has which slice moves on from
 * round to round, so that all have the same noise. Returns the seconds of each.
 */
async function inTurns(
  admin: Admin,
  mark: string,
  contenders: readonly Apply[],
  round: number,
): Promise<number[]> {
  await admin.query(
    'update anjuke_db.ajk_broker set TrueName = concat(?, BrokerId), updated_datetime = now()',
    [mark],
  );
  const seconds = contenders.map(() => 0);
  for (let slice = 0; slice < changes / idsPerSlice; slice++) {
    const turn = (slice + round) % contenders.length;
    const apply = contenders[turn];
    if (!apply) continue;
    const began = performance.now();
    await applied(apply, slice * idsPerSlice);
    seconds[turn] = (seconds[turn] ?? 0) + (performance.now() - began) / 1000;
  }
  const [[row]] = await admin.query<RowDataPacket[]>(`
    select count(*) arrived from user_prop_db.broker_base join anjuke_db.ajk_broker on BrokerId = broker_id
    where TrueName = true_name and is_deleted = 0`);
  if (Number(row?.['arrived']) !== changes) throw new Error(`${row?.['arrived']} of them arrived.`);
  await admin.query('truncate table signalbox.outbox');
  return seconds;
}

/** A slice's messages, as many at once as an instance has connections. */
async function applied(apply: Apply, after: number): Promise<void> {
  const messages = Array.from({ length: idsPerSlice / idsPerMessage }, (_, message) =>
    Array.from({ length: idsPerMessage }, (__, id) =>
      String(after + message * idsPerMessage + id + 1),
    ),
  ).values();
  const lane = async () => {
    for (const ids of messages) await apply(ids);
  };
  await Promise.all(Array.from({ length: connectionsPerInstanceMax }, lane));
}

/** The consumer's own code; where messages and invalidations go is not what is measured. */
function oursOn(server: Server): Apply {
  const kysely = (user: 'signalbox' | 'upstream') =>
    new Kysely<never>({ dialect: new MysqlDialect({ pool: barePool(server, user) }) });
  const deps = {
    mysql: kysely('signalbox') as never,
    upstream: kysely('upstream') as never,
    deliver: async (rows: readonly unknown[]) => [...rows] as never,
    microShopClient: () => Promise.reject(new Error('nobody asks')),
    firstSwitchOff: async () => undefined,
  };
  return async (ids) => {
    const { present } = await applyEvent(deps, { ids, flag: 2, source: sources.base });
    if (present !== idsPerMessage) throw new Error(`${present} of a message were there.`);
  };
}

const columns = [
  ...['broker_id', 'true_name', 'city_id', 'company_id', 'store_id', 'photo', 'is_deleted'],
  ...['mobile', 'source_updated_at', 'mobile_updated_at'],
];
const read = `select broker.BrokerId, TrueName, CityId, CompanyId, StoreId, Photo, Status <> 1, UserMobile,
    broker.updated_datetime, extend.updated_datetime
  from anjuke_db.ajk_broker broker left join anjuke_db.ajk_brokerextend extend on extend.BrokerId = broker.BrokerId
  where broker.BrokerId in (?) order by broker.BrokerId`;
const lock =
  'insert into user_prop_db.broker_base (broker_id, is_deleted) values ? on duplicate key update broker_id = broker_base.broker_id';
const upsert = `insert into user_prop_db.broker_base (${columns}) values ?
  on duplicate key update ${columns.slice(1).map((column) => {
    const stamp = column.startsWith('mobile') ? 'mobile_updated_at' : 'source_updated_at';
    return `${column} = if(values(${stamp}) < ${stamp}, ${column}, values(${column}))`;
  })}`;

/** What must follow is of the same transaction: two invalidations and an event; two of the three go at once. */
const insertFollowUps = `insert into signalbox.outbox (destination, body, due_at)
  values (?, ?, now(3) + interval 3 second), (?, ?, now(3) + interval 8 second), (?, ?, now(3) + interval 3 second)`;
const deleteSent = 'delete from signalbox.outbox where (id, version) in ((?, ?), (?, ?))';

interface Follow {
  readonly before: (connection: PoolConnection, ids: string[]) => Promise<unknown>;
  readonly after: (connection: PoolConnection, written: unknown) => Promise<unknown>;
}

const follow: Follow = {
  before: (connection, ids) => {
    const keys = JSON.stringify({ keys: ids.map(profileKey) });
    const event = JSON.stringify({ source: sources.base, ids });
    const rows = ['invalidate', keys, 'invalidate', keys, 'event:broker/applied', event];
    return asked(connection, insertFollowUps, rows);
  },
  after: (connection, written) => {
    const id = Number((written as { insertId: number }).insertId);
    return asked(connection, deleteSent, [id, 1, id + 2, 1]);
  },
};

/** The same statements on the same pools, and not a line more; without `follow` the reads and upserts alone. */
function bareOn(server: Server, { before, after }: Partial<Follow> = {}): Apply {
  const [ours, upstream] = [barePool(server, 'signalbox'), barePool(server, 'upstream')];
  return async (ids) => {
    const connection = await lent(ours);
    const run = (sql: string, values: unknown[] = []) => asked(connection, sql, values);
    await run('begin');
    await run(lock, [ids.map((id) => [id, 1])]);
    await run(upsert, [await asked(upstream, { sql: read, rowsAsArray: true }, [ids])]);
    const written = await before?.(connection, ids);
    await run('commit');
    await after?.(connection, written);
    connection.release();
  };
}

function shown([ours = 0, same = 0, alone = 0]: readonly number[]): string {
  const applied = (changes * rounds) / 3;
  const perSecond = (seconds: number) => `${Math.round(applied / seconds).toLocaleString('en')}/s`;
  const row = (name: string, seconds: number, goal: string) => [
    ...[name, perSecond(seconds), (seconds / ours).toFixed(2), goal],
  ];
  const rows = [
    row('ours', ours, ''),
    row('the same SQL bare', same, `≥ ${ratioMin} ${same / ours >= ratioMin ? '✓' : '✗'}`),
    row('without what must follow a commit', alone, ''),
  ];
  const head = ['propagating', 'changes', 'ours of it', ''];
  return `${changes.toLocaleString('en')} profiles from message to site, ${rounds} times, ${idsPerMessage} ids a message\n${table(head, rows)}`;
}
