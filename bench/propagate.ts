import { join } from 'node:path';
import { Kysely, MysqlDialect } from 'kysely';
import { createPool, type Pool, type PoolConnection, type RowDataPacket } from 'mysql2';
import { applyEvent } from '../lib/broker/profiles.ts';
import { sources } from '../lib/broker/queues.ts';
import { session } from '../lib/platform/mysql.ts';
import { connectionsPerInstanceMax } from '../lib/platform/names.ts';
import { typesOfValues } from '../lib/platform/pool.ts';
import { connect, users } from '../local/mysql.ts';
import { Processes } from '../local/processes.ts';
import { table } from '../local/progress.ts';
import { seedBrokers } from '../local/upstream.ts';
import { startDatabase } from '../test/simulation/database.ts';

const changes = 50_000;
const idsPerMessage = 100;
const idsPerSlice = 2_500;
/** Each has half of the changes in a round, and one round is for warming up. */
const rounds = 9;
const ratioMin = 0.8;

type Server = { readonly host: string; readonly port: number };
type Admin = Awaited<ReturnType<typeof connect>>;

/** Fifty thousand changes from message to site beside the same reads and upserts with nothing around them. */
export async function benchPropagate(dir: string): Promise<string> {
  const processes = new Processes(join(dir, 'propagate'));
  const awake = setInterval(() => {}, 1000); // The end of a server alone keeps no process waiting.
  try {
    const server = await startDatabase(processes, join(dir, 'mysql'));
    await seedBrokers(server, changes);
    const admin = await connect(server);
    const [ours, peer] = [oursOn(server), bareOn(server)];
    const seconds = { ours: 0, peer: 0 };
    for (let round = 0; round < rounds; round++) {
      const turns = round % 2 ? ([ours, peer] as const) : ([peer, ours] as const);
      const [first, second] = await inTurns(admin, `${round}:`, turns);
      seconds.ours += round % 2 ? first : second;
      seconds.peer += round % 2 ? second : first;
      if (!round) Object.assign(seconds, { ours: 0, peer: 0 }); // The first warms up.
    }
    await admin.end();
    return shown(seconds.ours, seconds.peer);
  } finally {
    await processes.endAll();
    clearInterval(awake);
  }
}

type Apply = (ids: string[]) => Promise<void>;

/**
 * Changes every broker upstream, lets the site have it, and looks whether it has. The two have every second slice
 * each, so that both have the same noise. Returns their seconds.
 */
async function inTurns(
  admin: Admin,
  mark: string,
  turns: readonly [Apply, Apply],
): Promise<[first: number, second: number]> {
  await admin.query(
    'update anjuke_db.ajk_broker set TrueName = concat(?, BrokerId), updated_datetime = now()',
    [mark],
  );
  const seconds: [number, number] = [0, 0];
  for (let slice = 0; slice < changes / idsPerSlice; slice++) {
    const turn = slice % 2 ? 1 : 0;
    const began = performance.now();
    await applied(turns[turn], slice * idsPerSlice);
    seconds[turn] += (performance.now() - began) / 1000;
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

const poolOn = (server: Server, user: 'signalbox' | 'upstream'): Pool => {
  const { username, password } = users[user];
  const connectionLimit = connectionsPerInstanceMax;
  const pool = createPool({
    ...{ ...server, user: username, password, connectionLimit },
    ...typesOfValues,
  });
  pool.on('connection', (connection) => connection.query(session));
  return pool;
};

/** The consumer's own code; where messages and invalidations go is not what is measured. */
function oursOn(server: Server): Apply {
  const kysely = (user: 'signalbox' | 'upstream') =>
    new Kysely<never>({ dialect: new MysqlDialect({ pool: poolOn(server, user) }) });
  const deps = {
    mysql: kysely('signalbox') as never,
    upstream: kysely('upstream') as never,
    deliver: async (rows: readonly unknown[]) => [...rows] as never,
    weishop: () => Promise.reject(new Error('nobody asks')),
    off: async () => undefined,
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

/** The same statements on the same pools, and not a line more. */
function bareOn(server: Server): Apply {
  const [ours, upstream] = [poolOn(server, 'signalbox'), poolOn(server, 'upstream')];
  return async (ids) => {
    const connection = await new Promise<PoolConnection>((lent, failed) => {
      ours.getConnection((error, got) => (error ? failed(error) : lent(got)));
    });
    const run = (sql: string, values: unknown[] = []) => asked(connection, sql, values);
    await run('begin');
    await run(lock, [ids.map((id) => [id, 1])]);
    await run(upsert, [await asked(upstream, { sql: read, rowsAsArray: true }, [ids])]);
    await run('commit');
    connection.release();
  };
}

const asked = (
  on: Pool | PoolConnection,
  query: string | { sql: string; rowsAsArray: true },
  values: unknown[],
): Promise<unknown> =>
  new Promise((done, failed) => {
    const options = typeof query === 'string' ? { sql: query } : query;
    on.query({ ...options, values }, (error: Error | null, result: unknown) =>
      error ? failed(error) : done(result),
    );
  });

function shown(ours: number, peer: number): string {
  const ratio = peer / ours;
  const applied = (changes / 2) * (rounds - 1);
  const perSecond = (seconds: number) => `${Math.round(applied / seconds).toLocaleString('en')}/s`;
  const row = [
    `${applied.toLocaleString('en')} changes`,
    ...[perSecond(ours), perSecond(peer), ratio.toFixed(2), ratio >= ratioMin ? '✓' : '✗'],
  ];
  const head = ['propagating', 'ours', 'bare', `≥ ${ratioMin}`, ''];
  return `Profiles from message to site, ${idsPerMessage} ids a message, beside the same reads and upserts bare\n${table(head, [row])}`;
}
