import { type Kysely, sql } from 'kysely';
import type { CallTables } from '../tables.ts';
import { minutesAgo } from './filter-call.ts';
import { filterRules } from './filter-rules.ts';

const rowsMax = 5_000;
/** A call that the old system has not decided by then it has not got. */
const missingAfterMinutes = 60;

/** The old system's calls of the last two days are looked for here: import-history brings them within hours. */
const unseenDays = 2;
const namedMax = 5;

/**
 * Compares what was decided in shadow mode with the old system's rows: whether the call is valid, for its other rules
 * may have other numbers. `shadow differs` where one call is valid here and not there, or the other way round, or was
 * never seen there; `call_shadow_log.compared` tells which. `unseen` counts, at every run, the calls of the last two
 * days that only the old system has.
 */
export async function compareShadow(mysql: Kysely<CallTables>, afterMinutes: number) {
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
  for (const [word, group] of compared)
    await mysql
      .updateTable('user_prop_db.call_shadow_log')
      .set({ compared: sql<typeof word>`${word}` })
      .where(
        'id',
        'in',
        group.map(({ id }) => id),
      )
      .execute();
  const count = (word: 'agrees' | 'differs' | 'missing') => compared.get(word)?.length ?? 0;
  const [agree, differ, missing] = [count('agrees'), count('differs'), count('missing')];
  const { unseen, first } = await unseenCalls(mysql);
  return {
    outcome: differ + missing + unseen ? 'shadow differs' : 'shadow agrees',
    ...{ agree, differ, missing, unseen },
    ...(unseen && { first }),
  };
}

/** Calls that the old system has written down, decided or not, and that never came here; some of them by name. */
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
