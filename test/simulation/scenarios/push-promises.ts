import type { PushState } from '../../../lib/order/push-states.ts';
import { pushesToSend } from '../../../lib/order/queues.ts';
import type { Stage } from '../run-scenario.ts';
import type { Caused, Orders } from './orders.ts';
import type { SimulatedSinger } from './simulated-singer.ts';

const hourMs = 3_600_000;
/** The longest time from the decision to send a push until it is shown: that of an invocation. */
const invocationMs = 60_000;

interface Row {
  readonly push_id: string;
  readonly state: PushState;
  readonly reason: string | null;
}

/** The invariants of pushes at all times, and those after all has settled. */
export function promisesOf(
  { databases: { admin }, world, queues, faults: { exact } }: Stage,
  orders: Orders,
  service: SimulatedSinger,
) {
  const ended = new Map<string, PushState>();
  const causedAs = (push_id: string): Caused | undefined => orders.caused.get(push_id);
  const rows = async () => {
    const [found] = await admin.query('select push_id, state, reason from push_db.push');
    return found as Row[];
  };
  const ageLimitMs = ({ urgent }: Caused) => (urgent ? 2 : 23) * hourMs;

  /** Checks that each push is shown once, in the order of its order's changes, and not when it is stale. */
  function wronglyShown(): string | undefined {
    const numbers = new Map([...orders.caused.keys()].map((push_id, index) => [push_id, index]));
    const last = new Map<number, number>();
    for (const { push_id, atMs } of service.shown) {
      const push = causedAs(push_id);
      if (!push) return `A push is shown that no change caused: ${push_id}.`;
      const number = numbers.get(push_id) ?? 0;
      const before = last.get(push.order) ?? -1;
      if (number === before) return `Push ${number} is shown twice.`;
      if (number < before) return `Push ${number} is shown after push ${before}, a later one.`;
      last.set(push.order, number);
      if (atMs - push.changedAtMs > ageLimitMs(push) + invocationMs)
        return `Push ${number} is shown ${atMs - push.changedAtMs} ms after its change.`;
    }
    return undefined;
  }

  /** Checks that the state of each push is true: a shown push is never called unsent. */
  function wronglyEnded({ push_id, state, reason }: Row): string | undefined {
    const push = causedAs(push_id);
    if (!push || state === 'unsent' || state === 'in hand') return undefined;
    const before = ended.get(push_id) ?? state;
    ended.set(push_id, state);
    const isShown = service.shown.some((one) => one.push_id === push_id);
    const ageMs = world.nowMs - push.changedAtMs;
    const wrong =
      before !== state ||
      (state === 'sent' && !isShown) ||
      (state === 'refused' && (isShown || service.knows(push.receiver))) ||
      (state === 'too old' && (isShown || ageMs < ageLimitMs(push))) ||
      (state === 'overtaken' && (isShown || !mayBeOvertaken(push, ageMs))) ||
      (state === 'unknown' && !service.wasAsked(push_id) && exact);
    return wrong ? `Push ${push_id} is ${state} (${reason}); before: ${before}.` : undefined;
  }

  const mayBeOvertaken = ({ order, urgent, statusAfter, changedAtMs }: Caused, ageMs: number) =>
    urgent && ageMs > 600_000 && orders.hasLeft(order, statusAfter, changedAtMs - 2 * hourMs);

  /** Checks that each final state is logged once, a success with its own entry. */
  async function wronglyLogged(all: readonly Row[]): Promise<string | undefined> {
    const [found] = await admin.query(
      "select push_id, outcome, entry from push_db.push_log where outcome <> 'failed'",
    );
    const entries = found as { push_id: string; outcome: string; entry: string }[];
    const byId = Map.groupBy(entries, ({ push_id }) => push_id);
    for (const { push_id, state } of all) {
      const logged = byId.get(push_id) ?? [];
      const open = state === 'unsent' || state === 'in hand' || state === 'no receiver';
      if (logged.length !== (open ? 0 : 1)) return `Push ${push_id}, ${state}: ${logged.length}.`;
      const [entry] = logged;
      if (!entry) continue;
      const words = Object.keys(JSON.parse(entry.entry)).join();
      const success = /^(userId|nurseId),operate,successTime$/.test(words);
      if (entry.outcome !== state || success !== (state === 'sent'))
        return `Push ${push_id}, ${state}, is logged as ${entry.outcome} with ${words}.`;
    }
    return undefined;
  }

  /** Checks that every known receiver whose answers are not all lost gets all pushes that are not urgent. */
  function notHeard({ push_id, state }: Row): string | undefined {
    const push = causedAs(push_id);
    if (!push || state === 'sent' || state === 'no receiver') return undefined;
    const excused =
      !exact && (push.urgent || service.losesAll(push.order) || !service.knows(push.receiver));
    return excused ? undefined : `Push ${push_id} ends as ${state}.`;
  }

  return {
    safety: async (): Promise<string | undefined> => {
      const all = await rows();
      for (const row of all) {
        const wrong = wronglyEnded(row);
        if (wrong) return wrong;
      }
      const [dead] = queues.dead(pushesToSend).sent;
      if (dead) return `Dead-lettered: ${dead.body} because ${dead.reason}`;
      return wronglyShown() ?? (await wronglyLogged(all));
    },
    unsettled: async (): Promise<string | undefined> => {
      const all = await rows();
      const open = all.find(({ state }) => state === 'unsent' || state === 'in hand');
      if (open) return `Push ${open.push_id} is ${open.state}.`;
      for (const row of all) {
        const wrong = notHeard(row);
        if (wrong) return wrong;
      }
      const told = new Set(queues.events.map(({ body }) => JSON.parse(body).push_id));
      const untold = all.find(({ push_id, state }) => state === 'sent' && !told.has(push_id));
      if (untold) return `Nobody is told that push ${untold.push_id} was sent.`;
      const [left] = await admin.query('select * from signalbox.outbox');
      return (left as unknown[]).length ? `The outbox holds ${JSON.stringify(left)}` : undefined;
    },
  };
}
