/** Says what keeps the order database's binlog from being read in full, before anybody misses a push. */
import { checkBinlog } from '../../lib/order/check.ts';
import { isServer } from '../../lib/order/endpoint.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { Credentials } from '../../lib/platform/pool.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import { secret } from '../../lib/platform/secret.ts';
import { pause } from '../../lib/platform/time.ts';

const credentials = secret('mysql-order', Credentials);
const deps = {
  mysql: mysql<PushTables>('mysql'),
  order: mysql<OrderTables>('mysql-order'),
  settings: settings('order', OrderSettings),
  direct: async () => await isServer(await credentials()),
  pause,
};

export const handler = schedule(() => checkBinlog(deps));
