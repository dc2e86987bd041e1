import { type App, Duration } from 'aws-cdk-lib';
import { pushesToSend } from '../lib/order/queues.ts';
import { watchOutcome } from './constructs/alarms.ts';
import { byHand, drain } from './constructs/functions.ts';
import { bus, mysql, settings } from './constructs/resources.ts';
import { type Backing, Domain, type Site } from './constructs/site.ts';

/** Patients and nurses hear of changes of their orders. */
export function order(app: App, site: Site, backing: Backing): Domain {
  const stack = new Domain(app, 'order', site, backing);

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
  byHand(stack, 'order/resend-push', {
    uses: [mysql('mysql')],
    sends: [pushesToSend],
    timeout: Duration.seconds(30),
    harm: 'What the push service refused cannot be sent again.',
  });

  return stack;
}
