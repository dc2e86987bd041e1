/** Reads changes of orders from the order database's binlog, so that patients and nurses are notified. */
import { binlogOf } from '../../lib/order/binlog/binlog-source.ts';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const own = mysql<PushTables>('mysql');
const orderSettings = settings('order', OrderSettings);
const deps = {
  mysql: own,
  settings: orderSettings,
  pause,
  binlog: binlogOf({ order: mysql<OrderTables>('mysql-order'), settings: orderSettings }),
  firstSwitchOff: switches({ mysql: own as never }),
  deliver: deliverBy(queueChannel(pushesToSend)),
};

export const handler = schedule((tick) => tailBinlog(deps, tick));
