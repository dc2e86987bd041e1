/** Reserves ids in tables with AUTO_INCREMENT. */
import { type QueryExecutorProvider, sql } from 'kysely';
import { ourTables } from './history-tables.ts';

/** Inserts of rows that are deleted before the commit. */
const placeholders = {
  calls: (id: string) => sql`insert ignore into ${sql.table(ourTables.calls)}
    (id, call_id, user_id, caller, callee, status, started_at, duration, caller_digits)
    values (${id}, '', 0, '', '', 0, '2000-01-01', 0, '')`,
  income: (id: string) => sql`insert ignore into ${sql.table(ourTables.income)}
    (id, payment_id, user_id, amount_fen) values (${id}, 0, 0, 0)`,
  payments: (id: string) => sql`insert ignore into ${sql.table(ourTables.payments)}
    (id, user_id, amount_fen, state) values (${id}, 0, 0, 'refused')`,
} as const;

/**
 * Moves a table's AUTO_INCREMENT above `id` by an insert and a delete: MySQL continues after the highest id that was
 * ever inserted.
 */
export async function markIdsAsUsed(
  trx: QueryExecutorProvider,
  part: keyof typeof placeholders,
  id: string,
): Promise<void> {
  const { numAffectedRows } = await placeholders[part](id).execute(trx);
  if (numAffectedRows)
    await sql`delete from ${sql.table(ourTables[part])} where id = ${id}`.execute(trx);
}
