/** One run of the binlog's reader in a process of its own: prints what it did, and the memory it took for it. */
import { Kysely, MysqlDialect } from 'kysely';
import { binlogOf } from '../../lib/order/binlog/binlog-source.ts';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { renewedPool } from '../../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../../lib/platform/time.ts';
import { users } from '../../local/users.ts';

const [port, ms] = process.argv.slice(2).map(Number);
const sampleEveryMs = 20;

const poolOf = <Tables>(user: (typeof users)['order' | 'signalbox']) =>
  new Kysely<Tables>({
    dialect: new MysqlDialect({ pool: renewedPool(async () => credentialsOf(user)) }),
  });
const credentialsOf = (user: { readonly username: string; readonly password: string }) => ({
  host: '127.0.0.1',
  port: port ?? 0,
  ssl: false,
  ...user,
});

const settings = async () => ({ serverIdFirst: 820_140_000, stuckAfterMinutes: 10 });
const order = poolOf<OrderTables>(users.order);
const deps = {
  mysql: poolOf<PushTables>(users.signalbox),
  settings,
  pause,
  binlog: binlogOf({ order, credentials: async () => credentialsOf(users.order), settings }),
  firstSwitchOff: async () => undefined,
  deliver: async () => [],
};

const began = process.memoryUsage().rss;
let most = began;
const timer = setInterval(() => {
  most = Math.max(most, process.memoryUsage().rss);
}, sampleEveryMs);
const end = Date.now() + (ms ?? 0);
const done = await tailBinlog(deps, { remaining: () => end - Date.now() });
clearInterval(timer);
console.log(JSON.stringify({ ...done, megabytes: Math.round((most - began) / 1e6) }));
process.exit(0);
