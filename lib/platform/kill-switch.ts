import { type Kysely, sql, type Transaction } from 'kysely';
import { audit } from './audit.ts';
import type { SetSwitch } from './inputs.ts';
import { inTransaction } from './mysql.ts';
import type { PlatformTables } from './schema.ts';
import { isSwitch, type Switches } from './switches.ts';

/** What it was before. */
type Before = 'off' | 'on' | 'never set';
type Outcome = Before | 'no such switch';

/**
 * Sets one of the `known` kill switches and notes it in the audit trail. Lifting one lets go of what waits in the
 * outbox under its name: due now, in a new version, so that a delivery which took the row before
 * does not delete it.
 *
 * The switch's row stays locked until all of that is committed; whoever locks it (`for share`)
 * while it writes an outbox row held by it either is let go here or sees that the switch is lifted.
 * Lifting again is harmless. Throws for another name, which would stop nothing; one that was set when there was no
 * such check can be lifted.
 */
export async function setSwitch(
  { mysql, known }: { readonly mysql: Kysely<PlatformTables>; readonly known: Switches },
  { name, state, by, why }: SetSwitch,
): Promise<{ outcome: Outcome; before: Before; released?: number }> {
  if (state === 'off' && !isSwitch(known, name))
    throw new Error(`There is no switch ${name}. There are: ${Object.keys(known).join(', ')}.`);
  return await inTransaction(mysql, async (trx) => {
    const before = await stateOf(trx, name);
    if (state === 'on' && before === 'never set')
      return { outcome: isSwitch(known, name) ? 'never set' : 'no such switch', before };
    await trx
      .insertInto('signalbox.switch')
      .values({ name, state, by, why })
      .onDuplicateKeyUpdate({ state, by, why, at: sql`current_timestamp` })
      .execute();
    const released = state === 'on' ? { released: await release(trx, name) } : {};
    const detail = { name, before, ...released };
    await audit(trx, { who: by, what: `switch/${state}`, why, detail });
    return { outcome: state, before, ...released };
  });
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

async function release(trx: Transaction<PlatformTables>, name: string): Promise<number> {
  const { numUpdatedRows } = await trx
    .updateTable('signalbox.outbox')
    .set({ held_by: null, due_at: sql`now(3)`, version: sql`version + 1` })
    .where('held_by', '=', name)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}
