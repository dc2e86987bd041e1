import type { Kysely } from 'kysely';
import { commit, type Deliver, toQueue } from '../platform/outbox.ts';
import type { AnswerOf } from '../platform/route.ts';
import type { PlatformTables } from '../platform/schema.ts';
import { type BrokerEvent, brokerEvents } from './queues.ts';
import type { acceptEvent } from './routes.ts';

export interface PublishDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly deliver: Deliver;
}

/** Takes an upstream system's message. Once it is answered it is applied, whatever happens to SQS or to us. */
export async function publishEvent(
  deps: PublishDeps,
  { ids, flag, source }: BrokerEvent,
): Promise<AnswerOf<typeof acceptEvent>> {
  await commit(deps, async (_, follow) => {
    follow(toQueue(brokerEvents, { broker_ids: ids.join(','), flag, source }));
  });
  return { status: 202, outcome: 'accepted', body: { accepted: ids.length } };
}
