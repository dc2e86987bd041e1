/** Wires the functions that follow a charge. */
import { Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { listingSwitches, signedContracts } from '../../lib/call/queues.ts';
import { explainCallRoute } from '../../lib/call/routes.ts';
import { watchOutcome } from '../constructs/alarms.ts';
import { byHand, drain, scheduled } from '../constructs/functions.ts';
import { bus, mysql, secret, settings } from '../constructs/resources.ts';
import { route } from '../constructs/routes.ts';
import type { Domain } from '../constructs/synthesis.ts';

/** Wires listings, income, contracts, reconciliation, and the functions that people start. */
export function accounting(stack: Domain): void {
  drain(stack, 'call/switch-listings', listingSwitches, {
    external: true,
    batch: 10,
    atOnce: 5,
    uses: [mysql('mysql'), settings('call'), bus],
    timeout: Duration.seconds(30),
    harm: 'Owners without money get calls that nobody pays for, or listings of owners who paid are not shown.',
  });
  scheduled(stack, 'call/post-income', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), settings('call')],
    timeout: Duration.seconds(55),
    harm: 'Charges are missing in the books, and contracts show too much money.',
  });
  watchOutcome(stack, 'call/post-income', {
    kind: 'income-not-posted',
    outcome: 'not-posted',
    harm: 'Some charges cannot be posted and are missing in the books until a person repairs them.',
  });
  drain(stack, 'call/post-contract', signedContracts, {
    external: true,
    batch: 10,
    atOnce: 2,
    uses: [mysql('mysql'), settings('call')],
    timeout: Duration.seconds(30),
    harm: 'New contracts pay for no calls and are missing in K3.',
  });
  watchOutcome(stack, 'call/post-contract', {
    kind: 'contract-refused',
    outcome: 'refused',
    harm: 'K3 refuses a contract: a person has to correct it and post it again.',
  });
  scheduled(stack, 'call/reconcile', {
    schedule: Schedule.cron({ minute: '30', hour: '19' }), // 03:30 in Shanghai.
    manual: true,
    uses: [mysql('mysql'), settings('call'), secret('payment')],
    timeout: Duration.minutes(15),
    harm: 'Nobody knows whether calls, money and books agree.',
  });
  watchOutcome(stack, 'call/reconcile', {
    kind: 'reconcile-differences',
    outcome: 'differences',
    harm: 'Calls, money and books do not agree: somebody paid too much or too little.',
  });
  watchOutcome(stack, 'call/reconcile', {
    kind: 'reconcile-incomplete',
    outcome: 'incomplete',
    harm: 'Some days are not compared in full: nobody knows whether calls, money and books agree.',
  });
  byHand(stack, 'call/reverse-charge', {
    uses: [mysql('mysql'), settings('call'), secret('payment')],
    timeout: Duration.minutes(2),
    harm: 'A wrong charge cannot be taken back.',
  });
  byHand(stack, 'call/import-history', {
    uses: [mysql('mysql'), settings('call')],
    timeout: Duration.minutes(10),
    harm: 'The old system cannot be replaced.',
  });
  route(stack, 'call/explain-call', explainCallRoute, {
    atOnce: 5,
    timeout: Duration.seconds(10),
    harm: 'Support cannot tell an owner why a call was charged.',
  });
}
