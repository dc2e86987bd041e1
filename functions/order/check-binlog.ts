/** Finds what keeps the order database's binlog from being read completely, before a push is missed. */

import { binlogOf } from '../../lib/order/binlog/binlog-source.ts';
import { checkBinlog } from '../../lib/order/binlog/check-binlog.ts';
import { isDirectConnection } from '../../lib/order/binlog/proxy-check.ts';
import { unreadableIn } from '../../lib/order/binlog/trial-read.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { Credentials } from '../../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../../lib/platform/time.ts';

const credentials = secret('mysql-order', Credentials);
const order = mysql<OrderTables>('mysql-order');
const read = settings('order', OrderSettings);
const deps = {
  mysql: mysql<PushTables>('mysql'),
  order,
  settings: read,
  unreadable: unreadableIn(binlogOf({ order, credentials, settings: read })),
  direct: async () => await isDirectConnection(await credentials()),
  pause,
};

export const handler = schedule(() => checkBinlog(deps));
