/** Calls, charges and the payment centre of this worker, for tests of domain call. */
import * as z from 'zod';
import { resetDatabases, rowsOf, run } from './databases.ts';
import { workerServers } from './started.ts';

const { simulators } = await workerServers();

async function payment(path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${simulators.payment}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  return await response.json();
}

const State = z.object({
  accounts: z.record(z.string(), z.object({ balance: z.int(), frozen: z.boolean() })),
  trades: z.array(
    z.object({
      trade_id: z.string(),
      user_id: z.string(),
      amount: z.int(),
      state: z.enum(['done', 'refused']),
    }),
  ),
});

/** What the payment centre does to its next requests. */
export const fault = (mode: string, { path = '/trade/deduct', times = 1, ms = 1_000 } = {}) =>
  payment('/__faults', { mode, path, times, ms });
export const busy = (times: number) => payment('/__busy', { times });
export const account = (user_id: number, balance: number, frozen = false, overdraft = 0) =>
  payment('/__accounts', { user_id, balance, frozen, ...(overdraft && { overdraft }) });
export const ledger = async () => State.parse(await payment('/__state'));

/** Empties all, and lets the ids of charges begin where they begin on a new server. */
export async function resetCalls(): Promise<void> {
  await resetDatabases();
  await run(
    'alter table user_prop_db.sublessor_call_payment_log_201409 auto_increment = 820000000000',
  );
  await payment('/__reset', {});
}

let calls = 0;

/** A decided call, as call/filter-call leaves it; the message that charges it. */
export async function decidedCall(userId = 42, { rule = 1 as number | null, callType = 1 } = {}) {
  calls += 1;
  await run(
    `insert into user_prop_db.sublessor_call_log_201409
      (call_id, user_id, caller, callee, status, started_at, duration, call_type, filter_rule, caller_digits)
     values (?, ?, '13812345678', '4008208820', 1, now(), 61, ?, ?, '13812345678')`,
    [`test-${process.pid}-${calls}`, userId, callType, rule],
  );
  const [row] = await rowsOf('select max(id) id from user_prop_db.sublessor_call_log_201409');
  return { callLogId: String(row?.['id']), userId: String(userId) };
}

export const chargeRows = () =>
  rowsOf('select * from user_prop_db.sublessor_call_payment_log_201409 order by id');

/** State and balance of each charge. */
export const chargeStates = async () =>
  (await chargeRows()).map(({ state, balance_fen }) => [state, balance_fen]);

/** As if so much time had passed since the charges were last touched. */
export const age = (minutes: number) =>
  run(
    `update user_prop_db.sublessor_call_payment_log_201409
     set ask_at = ask_at - interval ? minute, created_at = created_at - interval ? minute,
       updated_at = updated_at - interval ? minute, sent_at = sent_at - interval ? minute`,
    [minutes, minutes, minutes, minutes],
  );
