/** Accepts a broker event that an upstream system sends over HTTP. */
import type { Kysely } from 'kysely';
import { Refused } from '../../platform/http/refusal.ts';
import type { AnswerOf } from '../../platform/http/route.ts';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { PlatformTables } from '../../platform/tables.ts';
import { type BrokerEvent, brokerEvents } from '../queues.ts';
import type { acceptEventRoute } from '../routes.ts';
import type { BrokerSwitch } from '../switches.ts';

export interface AcceptEventDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly deliver: Deliver;
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

const retryAfterSeconds = 60;

/**
 * Stores the message in the outbox before it answers 202, so an accepted message is applied even if SQS or this
 * function fails afterwards. Under its kill switch it answers `unavailable`, and the message stays with its sender.
 */
export async function acceptEvent(
  deps: AcceptEventDeps,
  { ids, flag, source }: BrokerEvent,
): Promise<AnswerOf<typeof acceptEventRoute>> {
  if (await deps.firstSwitchOff('broker/accept-event'))
    throw new Refused('unavailable', 'Publishing is switched off; try again later.', {
      retryAfterSeconds,
    });
  await transactionWithOutbox(deps, async (_, follow) => {
    follow(toQueue(brokerEvents, { broker_ids: ids.join(','), flag, source }));
  });
  return { status: 202, outcome: 'accepted', body: { accepted: ids.length } };
}
