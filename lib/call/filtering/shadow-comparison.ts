/** Compares decisions of shadow mode with those of the old system. */
import { type Kysely, sql } from 'kysely';
import type { CallOutcome } from '../call-outcome.ts';
import type { CallTables } from '../tables.ts';
import { minutesAgo } from './filter-call.ts';
import { filterRules } from './filter-rules.ts';

const rowsMax = 5_000;
/** If the old system has not decided a call after 60 minutes, assume it never received it. */
const missingAfterMinutes = 60;

/** Calls of the old system are searched for in our log for two days; call/import-history copies them within hours. */
const unseenDays = 2;
/** Maximum of calls named in the log line. */
const namedMax = 5;

/**
 * Compares decisions of shadow mode with the old system's rows, only by whether a call is valid, because the other rules
 * may have other numbers there. The outcome is `shadow-differs` if a call is valid in only one of the systems, or exists
 * in only one; `call_shadow_log.compared` keeps the result. Every run counts as `unseen` the calls of the last two days
 * that only the old system has.
 */
export async function compareShadow(
  mysql: Kysely<CallTables>,
  afterMinutes: number,
): Promise<CallOutcome> {
  const rows = await mysql
    .selectFrom('user_prop_db.call_shadow_log as ours')
    .leftJoin('user_prop_db.sublessor_call_log_201409 as theirs', 'theirs.call_id', 'ours.call_id')
    .select(['ours.id', 'ours.filter_rule', 'theirs.filter_rule as their_rule'])
    .where('ours.compared', 'is', null)
    .where('ours.filter_rule', 'is not', null)
    .where('ours.created_at', '<', minutesAgo(afterMinutes))
    .where((row) =>
      row.or([
        row('theirs.filter_rule', 'is not', null),
        row('ours.created_at', '<', minutesAgo(missingAfterMinutes)),
      ]),
    )
    .limit(rowsMax)
    .execute();
  const compared = Map.groupBy(rows, ({ filter_rule, their_rule }) => {
    if (their_rule === null) return 'missing';
    const same = (filter_rule === filterRules.valid) === (their_rule === filterRules.valid);
    return same ? 'agrees' : 'differs';
  });
  for (const [result, group] of compared)
    await mysql
      .updateTable('user_prop_db.call_shadow_log')
      .set({ compared: sql<typeof result>`${result}` })
      .where(
        'id',
        'in',
        group.map(({ id }) => id),
      )
      .execute();
  const count = (result: 'agrees' | 'differs' | 'missing') => compared.get(result)?.length ?? 0;
  const [agree, differ, missing] = [count('agrees'), count('differs'), count('missing')];
  const { unseen, first } = await unseenCalls(mysql);
  return {
    outcome: differ + missing + unseen ? 'shadow-differs' : 'shadow-agrees',
    agree,
    differ,
    missing,
    unseen,
    ...(unseen && { first }),
  };
}

/** Counts calls that only the old system has logged, decided or not, and names the first ones. */
async function unseenCalls(mysql: Kysely<CallTables>) {
  const rows = await mysql
    .selectFrom('user_prop_db.sublessor_call_log_201409 as theirs')
    .leftJoin('user_prop_db.call_shadow_log as ours', 'ours.call_id', 'theirs.call_id')
    .select('theirs.call_id')
    .where('ours.id', 'is', null)
    .where('theirs.created_at', '<', minutesAgo(missingAfterMinutes))
    .where('theirs.created_at', '>', sql<string>`now(3) - interval ${sql.lit(unseenDays)} day`)
    .limit(rowsMax)
    .execute();
  return { unseen: rows.length, first: rows.slice(0, namedMax).map(({ call_id }) => call_id) };
}
