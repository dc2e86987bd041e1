/** Finds what keeps the order database's binlog from being read completely, before a push is missed. */
import { checkBinlog } from '../../lib/order/binlog/check-binlog.ts';
import { isDirectConnection } from '../../lib/order/binlog/proxy-check.ts';
import { trialReadOf } from '../../lib/order/binlog/trial-read.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { credentialsOf } from '../../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../../lib/platform/time.ts';

const credentials = credentialsOf('mysql-order');
const order = mysql<OrderTables>('mysql-order');
const orderSettings = settings('order', OrderSettings);
const deps = {
  mysql: mysql<PushTables>('mysql'),
  order,
  settings: orderSettings,
  unreadable: trialReadOf({ order, credentials, settings: orderSettings }),
  direct: async () => await isDirectConnection(await credentials()),
  pause,
};

export const handler = schedule(() => checkBinlog(deps));
