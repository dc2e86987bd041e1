import { type Kysely, sql, type Transaction } from 'kysely';
import { release, releasedAtOnceMax, releaseIfOn } from '../messaging/held-rows.ts';
import { inTransaction } from '../mysql/mysql.ts';
import type { PlatformTables } from '../tables.ts';
import { audit } from './audit.ts';
import type { SetSwitch } from './inputs.ts';
import { isSwitch, namesIn, type Switches } from './switches.ts';

/** The state before this call. The audit trail keeps this word. */
type Before = 'off' | 'on' | 'never set';
type Outcome = 'off' | 'on' | 'never-set' | 'no-such-switch';

type Answer = {
  readonly outcome: Outcome;
  readonly before: Before;
  /** Rows that a lifted switch held. */
  readonly released?: number;
  /** There are more; `platform/deliver-due` releases them. */
  readonly more?: true;
};

/** Portions that one call releases after the first: well within a minute. */
const portionsMax = 200;

/**
 * Sets one of the `known` kill switches and notes it in the audit trail. Lifting one lets go of what waits in the
 * outbox under its name: due now, in a new version, so that a delivery which took the row before
 * does not delete it.
 *
 * The switch's row stays locked until the first portion of that is committed with it; a consumer that locks it (`for share`)
 * while it writes an outbox row held by it either is let go here or sees that the switch is lifted. So no row is added
 * to those that are left, which are released portion by portion; what a crash leaves held `platform/deliver-due`
 * releases (docs/decisions/0070-fates-of-outbox-rows.md).
 *
 * Lifting again is harmless. Throws for another name, which would stop nothing; one that was set when there was no
 * such check can be lifted.
 */
export async function setSwitch(
  { mysql, known }: { readonly mysql: Kysely<PlatformTables>; readonly known: Switches },
  { name, state, by, why }: SetSwitch,
): Promise<Answer> {
  if (state === 'off' && !isSwitch(known, name))
    throw new Error(`There is no switch ${name}. There are: ${namesIn(known).join(', ')}.`);
  const set = await inTransaction(mysql, async (trx): Promise<Answer> => {
    const before = await stateOf(trx, name);
    if (state === 'on' && before === 'never set')
      return { outcome: isSwitch(known, name) ? 'never-set' : 'no-such-switch', before };
    await trx
      .insertInto('signalbox.switch')
      .values({ name, state, by, why })
      .onDuplicateKeyUpdate({ state, by, why, at: sql`current_timestamp` })
      .execute();
    const rows = state === 'on' ? await release(trx, name) : undefined;
    const released = rows === undefined ? {} : told(rows, rows === releasedAtOnceMax);
    const detail = { name, before, ...released };
    await audit(trx, { who: by, what: `switch/${state}`, why, detail });
    return { outcome: state, before, ...released };
  });
  if (!set.more) return set;
  const rest = await releaseRest(mysql, name);
  const rows = (set.released ?? 0) + rest.rows;
  return { outcome: set.outcome, before: set.before, ...told(rows, rest.more) };
}

async function stateOf(trx: Transaction<PlatformTables>, name: string): Promise<Before> {
  const row = await trx
    .selectFrom('signalbox.switch')
    .select('state')
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst();
  if (!row) return 'never set';
  return row.state === 'off' ? 'off' : 'on';
}

const told = (released: number, more: boolean) => ({
  released,
  ...(more && { more: true as const }),
});

/** Releases the rest in transactions of their own. Returns how many, and whether there is more. */
async function releaseRest(mysql: Kysely<PlatformTables>, name: string) {
  let rows = 0;
  for (let portion = 0; portion < portionsMax; portion++) {
    const released = await inTransaction(mysql, (trx) => releaseIfOn(trx, name));
    rows += released;
    if (released < releasedAtOnceMax) return { rows, more: false };
  }
  return { rows, more: true };
}
