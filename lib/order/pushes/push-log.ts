/** Writes the log of pushes. */
import type { Transaction } from 'kysely';
import type { PushTables } from '../tables.ts';
import { failureOf, type Success, successOf } from './push-log-entries.ts';

interface PushFields {
  readonly push_id: string;
  readonly order_id: string;
  readonly receiver_type: string;
  readonly receiver_id: string | null;
  readonly scenario: number;
}

/** Logs that a push was sent, in the transaction that records the result, and returns the log entry. */
export async function logSuccess(
  trx: Transaction<PushTables>,
  push: PushFields,
  at: string,
): Promise<Success> {
  const success = successOf(push, at);
  await log(trx, push, 'sent', success);
  return success;
}

/** Logs why a push was not sent. `outcome` is its new state, or `failed` for an attempt that is retried. */
export async function logFailure(
  trx: Transaction<PushTables>,
  push: PushFields,
  outcome: string,
  at: string,
  reason: string,
): Promise<void> {
  await log(trx, push, outcome, failureOf(push, at, reason));
}

async function log(
  trx: Transaction<PushTables>,
  { push_id, order_id }: PushFields,
  outcome: string,
  entry: object,
): Promise<void> {
  await trx
    .insertInto('push_db.push_log')
    .values({ push_id, order_id, outcome, entry: JSON.stringify(entry) })
    .execute();
}
