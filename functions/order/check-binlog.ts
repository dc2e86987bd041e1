/** Says what keeps the order database's binlog from being read in full, before anybody misses a push. */
import { checkBinlog } from '../../lib/order/check.ts';
import { isServer } from '../../lib/order/endpoint.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import { binlogOf } from '../../lib/order/source.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { unreadableIn } from '../../lib/order/trial.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { Credentials } from '../../lib/platform/pool.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import { secret } from '../../lib/platform/secret.ts';
import { pause } from '../../lib/platform/time.ts';

const credentials = secret('mysql-order', Credentials);
const order = mysql<OrderTables>('mysql-order');
const read = settings('order', OrderSettings);
const deps = {
  ...{ mysql: mysql<PushTables>('mysql'), order, settings: read },
  unreadable: unreadableIn(binlogOf({ order, credentials, settings: read })),
  direct: async () => await isServer(await credentials()),
  pause,
};

export const handler = schedule(() => checkBinlog(deps));
