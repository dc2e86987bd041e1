/** Measures the delay from a change in the binlog to its push. */
import { Kysely, MysqlDialect } from 'kysely';
import { binlogOf } from '../lib/order/binlog/binlog-source.ts';
import { tailBinlog } from '../lib/order/binlog/tail-binlog.ts';
import type { OrderTables, PushTables } from '../lib/order/tables.ts';
import { renewedPool } from '../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../lib/platform/time.ts';
import { connect } from '../local/mysql.ts';
import { table } from '../local/progress.ts';
import { users } from '../local/users.ts';

type Server = { readonly host: string; readonly port: number };

const changes = 3_000;
const perSecond = 100;
/** Far more often than in the cloud, where it is once a minute. */
const handOverEveryMs = 5_000;
const p99SecondsMax = 3;

/** From the change of an order to its push, while readers take over from each other. */
export async function benchDelay(server: Server): Promise<string> {
  const poolOf = <Tables>({ username, password }: { username: string; password: string }) =>
    new Kysely<Tables>({
      dialect: new MysqlDialect({
        pool: renewedPool(async () => ({ ...server, username, password, ssl: false })),
      }),
    });
  const own = poolOf<PushTables>(users.signalbox);
  const order = poolOf<OrderTables>(users.order);
  const credentials = async () => ({ ...server, ...users.order, ssl: false });
  const settings = async () => ({ serverIdFirst: 820_140_000, stuckAfterMinutes: 10 });
  const deps = {
    mysql: own,
    settings,
    pause,
    binlog: binlogOf({ order, credentials, settings }),
    firstSwitchOff: async () => undefined,
    deliver: async () => [],
  };
  const admin = await connect(server);
  try {
    await admin.query(`truncate push_db.push; truncate order_db.\`order\`;
      set session cte_max_recursion_depth = ${changes + 1};
      insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
        with recursive n as (select 1 id union all select id + 1 from n where id < ${changes})
        select id, id, 'PENDING_ACCEPT', 'patient' from n`);
    const handOvers = await readWhile(deps, async () => {
      const began = Date.now();
      for (let id = 1; id <= changes; id++) {
        const early = began + (id * 1_000) / perSecond - Date.now();
        if (early > 0) await pause(early);
        await admin.query(
          "update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse', updated_at = now(3) where order_id = ?",
          [id],
        );
      }
    });
    const [rows] = await admin.query(`
      select timestampdiff(microsecond, o.updated_at, p.created_at) / 1e6 seconds
      from order_db.\`order\` o join push_db.push p using (order_id) order by seconds`);
    const delays = (rows as { seconds: string }[]).map(({ seconds }) => Number(seconds));
    if (delays.length !== changes) throw new Error(`${delays.length} pushes of ${changes}.`);
    const at = (share: number) => delays[Math.ceil(share * changes) - 1] ?? Number.NaN;
    const shown = (share: number) => `${at(share).toFixed(3)} s`;
    const met = at(0.99) <= p99SecondsMax ? '✓' : '✗';
    return `From commit to push, ${perSecond} changes a second, ${handOvers} hand-overs\n${table(
      ['', 'p50', 'p99', 'most', `p99 ≤ ${p99SecondsMax} s`],
      [[`${changes} changes`, shown(0.5), shown(0.99), shown(1), met]],
    )}`;
  } finally {
    await admin.end();
    await own.destroy();
    await order.destroy();
  }
}

/** Readers one after the other, each asked to yield by the next; returns how often that was. */
async function readWhile(
  deps: Parameters<typeof tailBinlog>[0],
  work: () => Promise<void>,
): Promise<number> {
  let working = true;
  const runs: ReturnType<typeof tailBinlog>[] = [];
  const start = () => {
    const end = Date.now() + 4 * handOverEveryMs;
    // The last ones end soon after the work.
    runs.push(tailBinlog(deps, { remaining: () => (working ? end - Date.now() : 0) }));
  };
  start();
  await pause(1_000);
  const timer = setInterval(start, handOverEveryMs);
  try {
    await work();
    await pause(2 * p99SecondsMax * 1_000);
  } finally {
    clearInterval(timer);
    working = false;
  }
  const outcomes = await Promise.all(runs);
  return outcomes.filter((one) => 'ended' in one && one.ended === 'asked to yield').length;
}
