import { createHash } from 'node:crypto';
import { pushFor } from '../../../lib/order/pushes/new-push.ts';
import { type Scenario, scenarioByNumber, scenarios } from '../../../lib/order/pushes/scenarios.ts';
import type { Stage } from '../run-scenario.ts';

/** The push that a change must cause. */
export interface Caused {
  readonly push_id: string;
  readonly order: number;
  readonly urgent: boolean;
  readonly receiver: string;
  readonly changedAtMs: number;
  readonly statusAfter: string;
}

export type Orders = ReturnType<typeof ordersOf>;

/** Makes order changes as the binlog reader writes them, and records the pushes that they must cause. */
export function ordersOf({ databases: { admin }, world, faults: { random } }: Stage) {
  const caused = new Map<string, Caused>();
  const statuses = new Map<number, string>();
  /** Each status of an order, with its time. */
  const history = new Map<number, { readonly status: string; readonly sinceMs: number }[]>();
  const one = <Item>(items: readonly Item[]): Item => {
    const item = items[random.between(0, items.length - 1)];
    if (item === undefined) throw new Error('Cannot choose from an empty list.');
    return item;
  };

  const written = async (order: number, status: string, push?: unknown): Promise<void> => {
    await admin.query('begin');
    if (push) await admin.query('insert into push_db.push set ?', [push]);
    await admin.query('replace into push_db.order_seen (order_id, status) values (?, ?)', [
      ...[order, status],
    ]);
    await admin.query('commit');
    statuses.set(order, status);
    history.set(order, [...(history.get(order) ?? []), { status, sinceMs: world.nowMs }]);
  };

  const change = async (
    order: number,
    { number, urgent, changes }: Scenario,
    { nurse = true, aheadMs = 0 } = {},
  ): Promise<void> => {
    const { before, after, by } = one(changes);
    const changedAt = new Date(world.nowMs + aheadMs);
    const pushId = createHash('sha256').update(`change ${caused.size}`).digest('hex');
    const row = pushFor({
      pushId,
      order_id: String(order),
      patient_id: `${order}1`,
      changedAt,
      nurse_id: nurse ? `${order}2` : null,
      before: one(before),
      after: one(after),
      by: one(by),
    });
    if (row === 'no scenario' || row.scenario !== number)
      throw new Error(`The change made for scenario ${number} does not match it.`);
    const { receiver_type, receiver_id, status_after: statusAfter } = row;
    const receiver = `${receiver_type} ${receiver_id}`;
    const changedAtMs = changedAt.getTime();
    caused.set(pushId, { push_id: pushId, order, urgent, receiver, changedAtMs, statusAfter });
    await written(order, statusAfter, row);
  };

  return {
    caused,

    /** Makes one order change of this scenario. */
    happens: (order: number, scenario: number): Promise<void> =>
      change(order, scenarioByNumber(scenario)),

    /** Moves an order to a random next status; after its last one, starts a new order under its id. */
    goesOn: async (order: number, aheadMs: number): Promise<void> => {
      const status = statuses.get(order) ?? 'PAYING';
      const possible = scenarios.filter(({ changes }) =>
        changes.some(({ before }) => before.some((from) => from === status)),
      );
      if (!possible.length) return await written(order, one(['PAYING', 'IN_SERVICE']));
      await change(order, one(possible), { nurse: random.happens(0.8), aheadMs });
    },

    /** Returns whether the order had another status at some time since. */
    hasLeft: (order: number, status: string, sinceMs: number): boolean =>
      (history.get(order) ?? []).some((then) => then.sinceMs >= sinceMs && then.status !== status),
  };
}
