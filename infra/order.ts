import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { pushesToSend } from '../lib/order/queues.ts';
import { watchMeasures, watchOutcome } from './constructs/alarms.ts';
import { byHand, drain, every } from './constructs/functions.ts';
import { bus, mysql, settings } from './constructs/resources.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Patients and nurses hear of changes of their orders. */
export function order(app: App, site: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'order', site, backing);

  every(stack, 'order/tail-binlog', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    sends: [pushesToSend],
    // It yields when the next run asks, a minute later; the rest is for one that comes late.
    timeout: Duration.seconds(120),
    harm: 'Patients and nurses do not hear of what happens to their orders: nobody reads of it.',
  });
  drain(stack, pushesToSend, {
    batch: 10,
    atOnce: 5,
    uses: [mysql('mysql'), settings('order'), bus],
    sends: [pushesToSend],
    timeout: Duration.seconds(60),
    harm: 'Patients and nurses do not hear of what happens to their orders.',
  });
  const { id } = pushesToSend;
  watchOutcome(stack, id, {
    kind: 'pushes-refused',
    outcome: 'refused',
    harm: 'A patient or a nurse does not hear of an order: the push service does not know them.',
  });
  watchOutcome(stack, id, {
    kind: 'pushes-unknown',
    outcome: 'unknown',
    harm: 'Nobody knows whether a patient or a nurse has heard of an order.',
  });
  every(stack, 'order/check-binlog', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    timeout: Duration.seconds(60),
    harm: 'Nobody would notice that changes of orders are not read.',
  });
  watchOutcome(stack, 'order/check-binlog', {
    ...{ kind: 'binlog-unfit', outcome: 'unfit' },
    harm: 'Changes of orders may be missed: patients and nurses would not hear of them.',
  });
  watchOutcome(stack, 'order/check-binlog', {
    ...{ kind: 'binlog-lost', outcome: 'lost' },
    harm: 'Changes of orders were lost: patients and nurses have not heard of them.',
  });
  watchMeasures(stack, 'order/check-binlog', readerHarm, [
    {
      ...{ kind: 'binlog-behind', name: 'seconds behind', threshold: 120 },
      period: Duration.minutes(5),
    },
  ]);
  watchMeasures(stack, 'order/check-binlog', harmOfWaiting, [
    {
      ...{ kind: 'pushes-waiting', name: 'oldest unsent push', threshold: 1_800 },
      period: Duration.minutes(5),
    },
  ]);
  byHand(stack, 'order/repair-gap', {
    uses: [mysql('mysql'), mysql('mysql-order'), settings('order')],
    sends: [pushesToSend],
    timeout: Duration.minutes(15),
    harm: 'What a purged binlog lost stays lost.',
  });
  byHand(stack, 'order/resend-push', {
    uses: [mysql('mysql')],
    sends: [pushesToSend],
    timeout: Duration.seconds(30),
    harm: 'What the push service refused cannot be sent again.',
  });

  return stack;
}

const readerHarm = 'Patients and nurses hear late, or not at all, of what happens to their orders.';
const harmOfWaiting = 'Patients and nurses hear late of their orders, or of the urgent never.';
