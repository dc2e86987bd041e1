import { type Kysely, sql } from 'kysely';
import { openStates } from '../push-states.ts';
import type { PushTables } from '../tables.ts';

/**
 * For how long the oldest push has waited to be sent, in seconds by the database's clock; 0 where
 * none waits. What a kill switch holds counts, too: whoever turned it should not forget it.
 */
export async function oldestUnsentSeconds(mysql: Kysely<PushTables>): Promise<number> {
  // Each is the first entry of an index; asked for both at once MySQL goes through all that are open.
  const oldest = openStates.map(
    (state) => sql`select min(created_at) oldest from push_db.push where state = ${state}`,
  );
  const { rows } = await sql<{ seconds: string | number | null }>`
    select timestampdiff(second, min(oldest), now(3)) seconds
    from (${sql.join(oldest, sql` union all `)}) open_pushes`.execute(mysql);
  return Number(rows[0]?.seconds ?? 0);
}
