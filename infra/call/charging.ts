/** Wiring of filtering, charging and settlement. */
import { Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { callsToCharge, finishedCalls, listingSwitches } from '../../lib/call/queues.ts';
import { watchOutcome } from '../constructs/alarms.ts';
import { byHand, drain, scheduled } from '../constructs/functions.ts';
import { bus, mysql, secret, settings } from '../constructs/resources.ts';
import type { Domain } from '../constructs/synthesis.ts';

/** Adds the functions that decide which calls owners pay for, and that charge each of these calls exactly once. */
export function charging(stack: Domain): void {
  scheduled(stack, 'call/sync-broker-phones', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('call')],
    timeout: Duration.minutes(4),
    harm: 'Owners pay for calls of brokers with new telephone numbers.',
  });
  drain(stack, 'call/filter-call', finishedCalls, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('call')],
    sends: [callsToCharge],
    timeout: Duration.seconds(10),
    harm: 'Calls are not charged.',
  });
  drain(stack, 'call/charge-call', callsToCharge, {
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), settings('call'), secret('payment')],
    sends: [listingSwitches],
    // The payment centre may take 20 s; a batch charges ten calls concurrently.
    timeout: Duration.seconds(40),
    harm: 'Calls are not charged, and listings of owners without money stay online.',
  });
  watchOutcome(stack, 'call/charge-call', {
    kind: 'charging-stopped',
    outcome: 'charging-stopped',
    harm: 'There were more charges in a minute than allowed: all charging has stopped.',
  });
  watchOutcome(stack, 'call/charge-call', {
    kind: 'owner-stopped',
    outcome: 'owner-stopped',
    harm: 'One owner had more charges in a minute than allowed: charging this owner has stopped.',
  });
  scheduled(stack, 'call/settle-unknown-charges', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), settings('call'), secret('payment'), bus],
    sends: [callsToCharge, listingSwitches],
    timeout: Duration.minutes(4),
    harm: 'It stays unknown whether calls were charged whose answer was lost.',
  });
  watchOutcome(stack, 'call/settle-unknown-charges', {
    kind: 'charging-stopped',
    outcome: 'charging-stopped',
    harm: 'Charges wait: a charge stop is set, for all owners or for one.',
  });
  watchOutcome(stack, 'call/settle-unknown-charges', {
    kind: 'charge-conflict',
    outcome: 'conflict',
    harm: 'The payment centre knows the id of a charge or reversal with other values, so the payment stays open.',
  });
  byHand(stack, 'call/resume-charging', {
    uses: [mysql('mysql')],
    sends: [callsToCharge],
    timeout: Duration.minutes(5),
    harm: 'A charge stop cannot be lifted.',
  });
  byHand(stack, 'call/settle-by-hand', {
    uses: [mysql('mysql'), settings('call'), secret('payment')],
    sends: [callsToCharge, listingSwitches],
    timeout: Duration.minutes(2),
    harm: 'A charge or a reversal that nothing else can end stays open.',
  });
  byHand(stack, 'call/advance-payment-ids', {
    uses: [mysql('mysql'), settings('call'), secret('payment')],
    timeout: Duration.minutes(10),
    harm: 'After a restore of the database, charges reuse ids that the payment centre already knows.',
  });
}
