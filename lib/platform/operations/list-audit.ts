/** Lists the audit trail. */
import { type Kysely, sql } from 'kysely';
import { mask, maskedValue } from '../lambda/mask.ts';
import type { PlatformTables } from '../tables.ts';
import type { ListAudit } from './inputs.ts';

/**
 * Lists the audit trail, newest first, with personal data masked. The answer's `before` is the input for the next
 * page.
 */
export async function listAudit(
  { mysql }: { readonly mysql: Kysely<PlatformTables> },
  { since, until, by, what, about, before, max }: ListAudit,
) {
  const rows = await mysql
    .selectFrom('signalbox.audit')
    .select(['id', 'at', 'who', 'what', 'why', sql<string | null>`cast(detail as char)`.as('text')])
    .$if(since !== undefined, (query) => query.where('at', '>=', since ?? ''))
    // `until` includes its whole second, because the column has fractions.
    .$if(until !== undefined, (query) =>
      query.where('at', '<', sql<string>`${until} + interval 1 second`),
    )
    .$if(by !== undefined, (query) => query.where('who', '=', by ?? ''))
    .$if(what !== undefined, (query) =>
      query.where(sql`left(what, char_length(${what}))`, '=', what),
    )
    .$if(about !== undefined, (query) =>
      query.where(sql<boolean>`(instr(cast(detail as char), ${about}) or instr(why, ${about}))`),
    )
    .$if(before !== undefined, (query) => query.where('id', '<', before ?? ''))
    .orderBy('id', 'desc')
    .limit(max + 1)
    .execute();
  const entries = rows.slice(0, max).map(({ text, why, ...row }) => ({
    ...row,
    why: why === null ? null : mask(why),
    detail: text === null ? null : maskJson(text),
  }));
  const last = rows.length > max ? entries.at(-1) : undefined;
  return { outcome: 'listed' as const, entries, ...(last && { before: last.id }) };
}

const maskJson = (json: string): unknown =>
  JSON.parse(JSON.stringify(JSON.parse(json), maskedValue));
