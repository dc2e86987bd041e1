/** Turns a kill switch off or on for a person. */
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
  /** The number of released outbox rows. */
  readonly released?: number;
  /** More rows remain; `platform/deliver-due` releases them. */
  readonly more?: true;
};

/** The maximum number of batches that one call releases after the first; they take well under a minute. */
const batchesMax = 200;

/**
 * Sets one of the `known` kill switches and records it in the audit trail. Turning it on releases the outbox rows that
 * are held under its name: they become due now, in a new version, so that a delivery which leased a row before does
 * not delete it.
 *
 * The switch's row stays locked until it is committed together with the first released batch. A consumer that writes a
 * held outbox row locks the switch's row (`for share`): either its row is released here, or it sees that the switch is
 * on. So no rows are added to the remaining ones, which are released batch by batch. After a crash
 * `platform/deliver-due` releases the rest (docs/decisions/0070-fates-of-outbox-rows.md).
 *
 * Turning a switch on again is harmless. Throws when an unknown switch is turned off, because it would stop nothing;
 * an unknown switch that is set in the table can be turned on.
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
    const released = rows === undefined ? {} : releaseFacts(rows, rows === releasedAtOnceMax);
    const detail = { name, before, ...released };
    await audit(trx, { who: by, what: `switch/${state}`, why, detail });
    return { outcome: state, before, ...released };
  });
  if (!set.more) return set;
  const rest = await releaseRest(mysql, name);
  const rows = (set.released ?? 0) + rest.rows;
  return { outcome: set.outcome, before: set.before, ...releaseFacts(rows, rest.more) };
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

const releaseFacts = (released: number, more: boolean) => ({
  released,
  ...(more && { more: true as const }),
});

/** Releases the remaining rows in separate transactions. Returns how many, and whether there are more. */
async function releaseRest(mysql: Kysely<PlatformTables>, name: string) {
  let rows = 0;
  for (let batch = 0; batch < batchesMax; batch++) {
    const released = await inTransaction(mysql, (trx) => releaseIfOn(trx, name));
    rows += released;
    if (released < releasedAtOnceMax) return { rows, more: false };
  }
  return { rows, more: true };
}
