/** Measures how long the oldest unsent push has waited. */
import { type Kysely, sql } from 'kysely';
import { openStates } from '../push-states.ts';
import type { PushTables } from '../tables.ts';

/**
 * Returns the age of the oldest open push in seconds by the database's clock, 0 if there is none.
 * Pushes that a kill switch holds count, so that a switch is not forgotten.
 */
export async function oldestUnsentSeconds(mysql: Kysely<PushTables>): Promise<number> {
  // One query per state reads one index entry; with `state in (…)` MySQL scans all open pushes.
  const oldest = openStates.map(
    (state) => sql`select min(created_at) oldest from push_db.push where state = ${state}`,
  );
  const { rows } = await sql<{ seconds: string | number | null }>`
    select timestampdiff(second, min(oldest), now(3)) seconds
    from (${sql.join(oldest, sql` union all `)}) open_pushes`.execute(mysql);
  return Number(rows[0]?.seconds ?? 0);
}
