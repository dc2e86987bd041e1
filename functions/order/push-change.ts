/** Notifies patients and nurses of changes of their orders, in the order of the changes. */
import { pushChange } from '../../lib/order/pushes/push-change.ts';
import { singerAt } from '../../lib/order/pushes/singer.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const ours = mysql<PushTables>('mysql');
const deps = {
  mysql: ours,
  settings: settings('order', OrderSettings),
  singerAt: singerAt(),
  deliver: deliverBy(queueChannel(pushesToSend), bus()),
  firstSwitchOff: switches({ mysql: ours as never }),
};

export const handler = consume(pushesToSend, (message) => pushChange(deps, message), {
  mysql: ours as never,
});
