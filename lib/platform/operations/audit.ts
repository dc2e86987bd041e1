/** Writes the audit trail of manual actions. */
import type { Kysely, Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import type { Action } from './inputs.ts';

export interface AuditEntry {
  readonly who: string;
  /** The action as `<subject>/<verb>`, at most 100 characters: `switch/off`, `dead/redrive`. */
  readonly what: string;
  readonly why: string | null;
  /** Ids of what the action concerned; no personal data beyond ids. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * Records who did what by hand, when (by the database's clock) and why. It runs in the transaction of the action, so
 * that neither exists without the other. Rows are only added, never changed or deleted.
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

/** Records an action of `npm run ops` on a queue, which has no transaction of its own. */
export async function recordAction(
  { mysql }: { mysql: Kysely<PlatformTables> },
  { by, what, why, detail }: Action,
): Promise<'recorded'> {
  await mysql.transaction().execute((trx) => audit(trx, { who: by, what, why, detail }));
  return 'recorded';
}
