import { cutTo } from '../../platform/cut.ts';
import { PartnerUnavailable, Postponed } from '../../platform/errors.ts';
import { jsonId } from '../../platform/ids.ts';
import {
  type Deliver,
  toBus,
  toQueue,
  transactionWithOutbox,
} from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { postponed } from '../../platform/partners/partner.ts';
import { dateOf } from '../../platform/time.ts';
import { orderPushed } from '../events.ts';
import type { PushState } from '../push-states.ts';
import { type OrderPushes, pushesToSend } from '../queues.ts';
import type { OrderSettings } from '../settings.ts';
import {
  type LeasedPush,
  leaseNextPush,
  leaseSeconds,
  type Push,
  type PushLeaseDeps,
  recordResult,
} from './push-lease.ts';
import { logFailure, logSuccess } from './push-log.ts';
import type { Success } from './push-log-entries.ts';
import type { Singer, SingerAnswer, SingerPush } from './singer.ts';

export interface PushDeps extends PushLeaseDeps {
  readonly settings: () => Promise<Pick<OrderSettings, 'singer_url'>>;
  readonly singerAt: (baseUrl: string) => Singer;
  readonly deliver: Deliver;
}

/** So many calls of the push service, each at its time-out, fit into the function's time. */
const pushesPerMessageMax = 10;
const reasonLengthMax = 500;

interface Done {
  readonly scenario: number;
  readonly state: PushState;
  readonly success?: Success;
}

/**
 * Sends the pushes of an order that are unsent, each when those before it have ended, and withholds
 * what nobody wants any more. `Postponed` while another has one in hand, a switch is off, or the
 * push service is away or says "later": the later ones wait with it.
 */
export async function pushChange(deps: PushDeps, { order_id }: OrderPushes) {
  // Before anything is in hand: what cannot be sent for want of an address was never sent.
  const singer = deps.singerAt((await deps.settings()).singer_url);
  const done: Done[] = [];
  for (let turn = 0; turn < pushesPerMessageMax; turn++) {
    const taken = await leaseNextPush(deps, order_id);
    if (taken === 'none left') return summaryOf(done);
    if (taken === 'changed') continue;
    const { state, push } = taken;
    done.push(
      state === 'in hand' ? await send(deps, singer, taken) : { scenario: push.scenario, state },
    );
  }
  await transactionWithOutbox(deps, async (_, follow) =>
    follow(toQueue(pushesToSend, { order_id })),
  );
  return summaryOf(done);
}

/** The word of a message is that of what most needs to be seen. */
const words = ['refused', 'unknown', 'sent', 'too old', 'overtaken'] as const;

function summaryOf(done: readonly Done[]) {
  const pushes = done.map(({ scenario, state }) => ({ scenario, state }));
  const outcome = words.find((word) => done.some(({ state }) => state === word));
  const successes = done.flatMap(({ success }) => success ?? []);
  return { outcome: outcome ?? 'nothing to send', pushes, successes };
}

/** No transaction is open while the push service is asked. */
async function send(deps: PushDeps, singer: Singer, taken: LeasedPush): Promise<Done> {
  let answer: SingerAnswer;
  try {
    answer = await singer(messageOf(taken.push));
  } catch (error) {
    if (!(error instanceof PartnerUnavailable)) throw error;
    return await putBack(deps, taken, error);
  }
  switch (answer.said) {
    case 'sent':
      return await sent(deps, taken, answer.messageId);
    case 'unknown receiver':
      return await refused(deps, taken);
    case 'later':
      return await putBack(
        deps,
        taken,
        new PartnerUnavailable('Singer', 'none', 'it says later (5000)'),
      );
  }
}

function messageOf({ push_id, channel, content, order_id, data, ...push }: Push): SingerPush {
  const receiver = { type: push.receiver_type, id: jsonId(push.receiver_id ?? '') };
  return {
    ...{ push_id, channel, receiver, content },
    order_id: jsonId(order_id),
    ...(data !== null && { data: JSON.parse(data) as unknown }),
  };
}

async function sent(deps: PushDeps, taken: LeasedPush, message_id: string | null): Promise<Done> {
  const { push_id, order_id, scenario } = taken.push;
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const at = await recordResult(trx, taken, { state: 'sent', reason: null, message_id });
    if (!at) throw takenOver(taken);
    const success = await logSuccess(trx, taken.push, at);
    follow(toBus(orderPushed, { push_id, order_id, scenario }));
    return { scenario, state: 'sent', success };
  });
}

/** For good: the next of the order go on, and a person may have it sent again (order/resend-push). */
async function refused({ mysql }: PushDeps, taken: LeasedPush): Promise<Done> {
  const { scenario, receiver_type } = taken.push;
  const reason = `Singer does not know the ${receiver_type} (4101).`;
  return await inTransaction(mysql, async (trx) => {
    const at = await recordResult(trx, taken, { state: 'refused', reason });
    if (!at) throw takenOver(taken);
    await logFailure(trx, taken.push, 'refused', at, reason);
    return { scenario, state: 'refused' };
  });
}

/** It is tried again; unless nothing ever came of it, with the knowledge that it may have been sent. */
async function putBack(
  { mysql }: PushDeps,
  taken: LeasedPush,
  away: PartnerUnavailable,
): Promise<never> {
  const never = away.effect === 'none' && taken.push.perhaps_sent_at === null;
  const reason = cutTo(away.message, reasonLengthMax);
  await inTransaction(mysql, async (trx) => {
    const again = { state: 'unsent', reason, ...(never && { perhaps_sent_at: null }) } as const;
    const at = await recordResult(trx, taken, again);
    if (at) await logFailure(trx, taken.push, 'failed', at, reason);
  });
  throw postponed(away, taken.attempts, dateOf(taken.now));
}

/** Whoever has it now writes what became of it. */
function takenOver({ push: { push_id }, now }: LeasedPush): Postponed {
  const until = new Date(dateOf(now).getTime() + leaseSeconds * 1000);
  return new Postponed(until, `Push ${push_id} was in hand too long; another has taken it.`);
}
