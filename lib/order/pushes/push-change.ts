/** Sends the pushes of an order to the push service. */
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
import type { OutcomeWord } from '../../platform/outcomes.ts';
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

/** Even if each request takes until its timeout, this many fit into the function's timeout. */
const pushesPerMessageMax = 10;
const reasonLengthMax = 500;

interface PushSummary {
  readonly scenario: number;
  readonly state: PushState;
  readonly success?: Success;
}

/**
 * Sends the unsent pushes of an order, one after the other, and drops those that are of no use any
 * more. Throws `Postponed` if another worker holds the lease of the first open push, a kill switch is
 * off, or the push service is unavailable or answers "later": the later pushes of the order wait, too.
 */
export async function pushChange(deps: PushDeps, { order_id }: OrderPushes) {
  // Read before a push is leased: if the settings cannot be read, nothing may have been sent.
  const singer = deps.singerAt((await deps.settings()).singer_url);
  const summaries: PushSummary[] = [];
  for (let count = 0; count < pushesPerMessageMax; count++) {
    const next = await leaseNextPush(deps, order_id);
    if (next === 'none left') return summaryOf(summaries);
    if (next === 'changed') continue;
    const { state, push } = next;
    summaries.push(
      state === 'in hand' ? await send(deps, singer, next) : { scenario: push.scenario, state },
    );
  }
  await transactionWithOutbox(deps, async (_, follow) =>
    follow(toQueue(pushesToSend, { order_id })),
  );
  return summaryOf(summaries);
}

/** The outcome of a message is that of the first of these states that one of its pushes has reached. */
const outcomeByState: readonly (readonly [PushState, OutcomeWord])[] = [
  ['refused', 'refused'],
  ['unknown', 'unknown'],
  ['sent', 'sent'],
  ['too old', 'too-old'],
  ['overtaken', 'superseded'],
];

function summaryOf(summaries: readonly PushSummary[]) {
  const pushes = summaries.map(({ scenario, state }) => ({ scenario, state }));
  const found = outcomeByState.find(([state]) => pushes.some((push) => push.state === state));
  const outcome: OutcomeWord = found?.[1] ?? 'nothing-to-send';
  const successes = summaries.flatMap(({ success }) => success ?? []);
  return { outcome, pushes, successes };
}

/** Sends one push and records the result. No transaction is open during the request. */
async function send(deps: PushDeps, singer: Singer, leased: LeasedPush): Promise<PushSummary> {
  let answer: SingerAnswer;
  try {
    answer = await singer(requestOf(leased.push));
  } catch (error) {
    if (!(error instanceof PartnerUnavailable)) throw error;
    return await releaseAndPostpone(deps, leased, error);
  }
  switch (answer.kind) {
    case 'sent':
      return await recordSent(deps, leased, answer.messageId);
    case 'unknown receiver':
      return await recordRefused(deps, leased);
    case 'later':
      return await releaseAndPostpone(
        deps,
        leased,
        new PartnerUnavailable('Singer', 'none', 'it answers "later" (5000)'),
      );
  }
}

function requestOf({ push_id, channel, content, order_id, data, ...push }: Push): SingerPush {
  const receiver = { type: push.receiver_type, id: jsonId(push.receiver_id ?? '') };
  return {
    push_id,
    channel,
    receiver,
    content,
    order_id: jsonId(order_id),
    ...(data !== null && { data: JSON.parse(data) as unknown }),
  };
}

async function recordSent(
  deps: PushDeps,
  leased: LeasedPush,
  message_id: string | null,
): Promise<PushSummary> {
  const { push_id, order_id, scenario } = leased.push;
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const at = await recordResult(trx, leased, { state: 'sent', reason: null, message_id });
    if (!at) throw leaseLost(leased);
    const success = await logSuccess(trx, leased.push, at);
    follow(toBus(orderPushed, { push_id, order_id, scenario }));
    return { scenario, state: 'sent', success };
  });
}

/** Ends the push as `refused`. Later pushes of the order follow; `order/resend-push` sends it again. */
async function recordRefused({ mysql }: PushDeps, leased: LeasedPush): Promise<PushSummary> {
  const { scenario, receiver_type } = leased.push;
  const reason = `Singer does not know the ${receiver_type} (4101).`;
  return await inTransaction(mysql, async (trx) => {
    const at = await recordResult(trx, leased, { state: 'refused', reason });
    if (!at) throw leaseLost(leased);
    await logFailure(trx, leased.push, 'refused', at, reason);
    return { scenario, state: 'refused' };
  });
}

/**
 * Releases the push as `unsent` and postpones the message. `perhaps_sent_at` is cleared only if
 * neither this attempt nor an earlier one may have been carried out.
 */
async function releaseAndPostpone(
  { mysql }: PushDeps,
  leased: LeasedPush,
  error: PartnerUnavailable,
): Promise<never> {
  const neverSent = error.effect === 'none' && leased.push.perhaps_sent_at === null;
  const reason = cutTo(error.message, reasonLengthMax);
  await inTransaction(mysql, async (trx) => {
    const unsent = {
      state: 'unsent',
      reason,
      ...(neverSent && { perhaps_sent_at: null }),
    } as const;
    const at = await recordResult(trx, leased, unsent);
    if (at) await logFailure(trx, leased.push, 'failed', at, reason);
  });
  throw postponed(error, leased.attempts, dateOf(leased.now));
}

/** Postpones the message: the worker that holds the lease now records the result. */
function leaseLost({ push: { push_id }, now }: LeasedPush): Postponed {
  const until = new Date(dateOf(now).getTime() + leaseSeconds * 1000);
  return new Postponed(
    until,
    `The lease of push ${push_id} expired, and another worker has acquired it.`,
  );
}
