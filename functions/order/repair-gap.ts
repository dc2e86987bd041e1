/** Makes up for what a purged binlog lost, so that patients and nurses hear of it after all; by hand. */
import { repairGap } from '../../lib/order/gap.ts';
import { RepairGap } from '../../lib/order/inputs.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import { binlogOf } from '../../lib/order/source.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { settings } from '../../lib/platform/config.ts';
import { longStatements, mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { Credentials } from '../../lib/platform/pool.ts';
import { secret } from '../../lib/platform/secret.ts';
import { pause } from '../../lib/platform/time.ts';

const order = mysql<OrderTables>('mysql-order', longStatements);
const credentials = secret('mysql-order', Credentials);
const binlog = binlogOf({ order, credentials, settings: settings('order', OrderSettings) });
const deliver = deliverBy(queues(pushesToSend));
const deps = { mysql: mysql<PushTables>('mysql', longStatements), order, binlog, deliver, pause };

export const handler = byHand(RepairGap, (input, hand) => repairGap(deps, input, hand));
