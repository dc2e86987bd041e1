/** Tells patients and nurses of changes of their orders, in the order in which these came about. */
import { pushChange } from '../../lib/order/pushes.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import { singer } from '../../lib/order/singer.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { bus } from '../../lib/platform/bus.ts';
import { settings } from '../../lib/platform/config.ts';
import { consume } from '../../lib/platform/consume.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { switches } from '../../lib/platform/switches.ts';

const ours = mysql<PushTables>('mysql');
const deps = {
  mysql: ours,
  singer: singer(settings('order', OrderSettings)),
  deliver: deliverBy(queues(pushesToSend), bus()),
  stopped: switches({ mysql: ours as never }),
};

export const handler = consume(pushesToSend, (message) => pushChange(deps, message), {
  mysql: ours as never,
});
