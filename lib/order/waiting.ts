import { type Kysely, sql } from 'kysely';
import { openStates } from './states.ts';
import type { PushTables } from './tables.ts';

/**
 * For how long the oldest push has waited to be sent, in seconds by the database's clock; 0 where
 * none waits. What a kill switch holds counts, too: whoever turned it should not forget it.
 */
export async function oldestUnsentSeconds(mysql: Kysely<PushTables>): Promise<number> {
  const row = await mysql
    .selectFrom('push_db.push')
    .select(sql<string | null>`timestampdiff(second, min(created_at), now(3))`.as('seconds'))
    .where('state', 'in', openStates)
    .executeTakeFirst();
  return Number(row?.seconds ?? 0);
}
