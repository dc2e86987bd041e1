import type { Kysely, Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import type { Action } from './inputs.ts';

export interface AuditEntry {
  readonly who: string;
  /** `<subject>/<verb>`, at most 100 characters: `switch/off`, `dead/redrive`. */
  readonly what: string;
  readonly why: string | null;
  /** Whatever identifies what it was done to; no personal data beyond ids. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * Notes who did what by hand, when (by the database's clock) and why, in the transaction that does
 * it: neither is there without the other. Rows are only ever added; nothing changes or deletes one.
 */
export async function audit(
  trx: Transaction<PlatformTables>,
  { who, what, why, detail }: AuditEntry,
): Promise<void> {
  await trx
    .insertInto('signalbox.audit')
    .values({ who, what, why, detail: detail ? JSON.stringify(detail) : null })
    .execute();
}

/** Notes what `npm run ops` does to a queue, which has no transaction of its own. */
export async function recordAction(
  { mysql }: { mysql: Kysely<PlatformTables> },
  { by, what, why, detail }: Action,
): Promise<'recorded'> {
  await mysql.transaction().execute((trx) => audit(trx, { who: by, what, why, detail }));
  return 'recorded';
}
