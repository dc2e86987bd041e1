/** Wires the order functions: triggers, permissions, limits and alarms. */
import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { pushesToSend } from '../lib/order/queues.ts';
import { watchMeasures, watchOutcome } from './constructs/alarms.ts';
import { byHand, drain, scheduled } from './constructs/functions.ts';
import { bus, mysql, settings } from './constructs/resources.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Makes the stack that notifies patients and nurses of changes of their orders. */
export function order(app: App, synthesis: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'order', synthesis, backing);

  scheduled(stack, 'order/tail-binlog', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    sends: [pushesToSend],
    // A run yields when the next one asks, after a minute; the rest is a margin for late starts.
    timeout: Duration.seconds(120),
    harm: 'Patients and nurses are not notified of changes of their orders: the changes are not read.',
  });
  drain(stack, 'order/push-change', pushesToSend, {
    batch: 10,
    atOnce: 5,
    uses: [mysql('mysql'), settings('order'), bus],
    sends: [pushesToSend],
    timeout: Duration.seconds(60),
    harm: 'Patients and nurses are not notified of changes of their orders.',
  });
  watchOutcome(stack, 'order/push-change', {
    kind: 'pushes-refused',
    outcome: 'refused',
    harm: 'A patient or a nurse is not notified of a change: the push service does not know them.',
  });
  watchOutcome(stack, 'order/push-change', {
    kind: 'pushes-unknown',
    outcome: 'unknown',
    harm: 'It is unknown whether a patient or a nurse was notified of a change.',
  });
  scheduled(stack, 'order/check-binlog', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    timeout: Duration.seconds(60),
    harm: 'A reader that misses changes of orders would remain unnoticed.',
  });
  watchOutcome(stack, 'order/check-binlog', {
    kind: 'binlog-unfit',
    outcome: 'unfit',
    harm: 'Changes of orders may be missed: patients and nurses would not be notified.',
  });
  watchOutcome(stack, 'order/check-binlog', {
    kind: 'binlog-lost',
    outcome: 'lost',
    harm: 'Changes of orders were lost: patients and nurses were not notified of them.',
  });
  watchMeasures(stack, 'order/check-binlog', readerHarm, [
    {
      kind: 'binlog-behind',
      name: 'seconds behind',
      threshold: 120,
      period: Duration.minutes(5),
    },
  ]);
  watchMeasures(stack, 'order/check-binlog', waitingHarm, [
    {
      kind: 'pushes-waiting',
      name: 'oldest unsent push',
      threshold: 1_800,
      period: Duration.minutes(5),
    },
  ]);
  byHand(stack, 'order/repair-gap', {
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    sends: [pushesToSend],
    timeout: Duration.minutes(15),
    harm: 'Pushes that a purged binlog lost cannot be written.',
  });
  byHand(stack, 'order/resend-push', {
    uses: [mysql('mysql')],
    sends: [pushesToSend],
    timeout: Duration.seconds(30),
    harm: 'Pushes that the push service refused cannot be sent again.',
  });

  return stack;
}

const readerHarm =
  'Patients and nurses are notified late, or not at all, of changes of their orders.';
const waitingHarm = 'Order notifications are late; urgent ones are dropped.';
