/** Writes the pushes that a purged binlog lost, so that patients and nurses are notified; run by a person. */

import { binlogOf } from '../../lib/order/binlog/binlog-source.ts';
import { repairGap } from '../../lib/order/binlog/repair-gap.ts';
import { RepairGap } from '../../lib/order/inputs.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { credentialsOf } from '../../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../../lib/platform/time.ts';

const order = mysql<OrderTables>('mysql-order', longStatements);
const credentials = credentialsOf('mysql-order');
const binlog = binlogOf({ order, credentials, settings: settings('order', OrderSettings) });
const deliver = deliverBy(queueChannel(pushesToSend));
const deps = { mysql: mysql<PushTables>('mysql', longStatements), order, binlog, deliver, pause };

export const handler = byHand(RepairGap, (input, hand) => repairGap(deps, input, hand));
