/** Reads from the order database's binlog what happens to orders, so that patients and nurses hear of it. */
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import { binlogOf } from '../../lib/order/source.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { rowsPerWriteMax, tailBinlog } from '../../lib/order/tail.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import { switches } from '../../lib/platform/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const own = mysql<PushTables>('mysql');
const order = mysql<OrderTables>('mysql-order');
const read = settings('order', OrderSettings);
const deps = {
  ...{ mysql: own, settings: read, pause, rowsPerWriteMax },
  binlog: binlogOf({ order, settings: read }),
  off: switches({ mysql: own as never }),
  deliver: deliverBy(queues(pushesToSend)),
};

export const handler = schedule((tick) => tailBinlog(deps, tick));
