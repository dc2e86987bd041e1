import type { Transaction } from 'kysely';
import type { PushTables } from '../tables.ts';
import { failureOf, type Success, successOf } from './push-log-entries.ts';

interface Logged {
  readonly push_id: string;
  readonly order_id: string;
  readonly receiver_type: string;
  readonly receiver_id: string | null;
  readonly scenario: number;
}

/** Notes that a push was sent, in the transaction that makes it so, and returns what was noted. */
export async function logSuccess(
  trx: Transaction<PushTables>,
  push: Logged,
  at: string,
): Promise<Success> {
  const success = successOf(push, at);
  await log(trx, push, 'sent', success);
  return success;
}

/** Notes why one was not sent. `outcome` is what it became, or `failed` of an attempt. */
export async function logFailure(
  trx: Transaction<PushTables>,
  push: Logged,
  outcome: string,
  at: string,
  reason: string,
): Promise<void> {
  await log(trx, push, outcome, failureOf(push, at, reason));
}

async function log(
  trx: Transaction<PushTables>,
  { push_id, order_id }: Logged,
  outcome: string,
  entry: object,
): Promise<void> {
  await trx
    .insertInto('push_db.push_log')
    .values({ push_id, order_id, outcome, entry: JSON.stringify(entry) })
    .execute();
}
