import { type Kysely, sql } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { acquireLease, assertLeaseHeld, type Lease } from '../../platform/mysql/lease.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { Reconcile } from '../inputs.ts';
import { messagesFor } from '../publish/event-messages.ts';
import { idsPerMessageMax } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { UpstreamTables } from '../tables.ts';
import {
  type ComparedEntity,
  comparedEntities,
  compareIds,
  compareRange,
  sourceOf,
} from './comparison.ts';
import {
  type ComparisonRound,
  deleteSuspects,
  driftTable,
  markAsDrift,
  nextSuspectMs,
  type ReconcileTables,
  upsertSuspects,
} from './suspects.ts';

export interface ReconcileDeps {
  readonly mysql: Kysely<ReconcileTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<BrokerSettings, 'driftGraceSeconds'>>;
  readonly pause: (ms: number) => Promise<void>;
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

/** What one step needs: the dependencies, and the claim under which all is written. */
interface Work extends ReconcileDeps {
  readonly held: Lease;
  readonly hand: Hand;
}

const killSwitch = 'broker/reconcile-profiles';
export const leaseSeconds = 120;
/** With less than this left no further step is begun. */
const endMs = 15_000;
const rangeRowsMax = 2_000;
const shownIdsMax = 100;
export const pauseMsMax = 30_000;

/**
 * Compares all that the site shows with upstream, by ranges of keys. A row that differs is a suspect: its change may
 * be on its way. It is drift if it differs still when upstream has not changed it for `driftGraceSeconds`; then it is
 * published to be applied. A round that is ended by its time-out, or dies, is resumed by the next invocation of its
 * sort; under its kill switch nothing is compared, and a round waits for the switch to be turned on.
 */
export async function reconcileProfiles(deps: ReconcileDeps, input: Reconcile, hand: Hand) {
  const stopped = await deps.firstSwitchOff(killSwitch);
  if (stopped) return { outcome: 'switched off', switch: stopped };
  const held = await acquireLease(deps.mysql, killSwitch, leaseSeconds);
  if (!held) return { outcome: 'another reconciles' };
  const work: Work = { ...deps, held, hand };
  try {
    const round = await roundFor(work, input);
    if (round === undefined) return { outcome: 'done before' };
    const done = (await compareAll(work, round)) && (await recheckAll(work, round));
    if (done) await endRound(work, round);
    return {
      ...(await reportOf(work, round, done)),
      ...(done ? {} : await rest(work, round, input)),
    };
  } finally {
    await held.release();
  }
}

/**
 * The round to resume, or a new one; none where all is done that was asked for. Only rounds of the same sort count: a
 * report uses up no day's repair, and neither resumes the other.
 */
async function roundFor(
  { mysql, held }: Work,
  { repair: repairs, daily, at }: Reconcile,
): Promise<ComparisonRound | undefined> {
  return await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, held);
    const last = await trx
      .selectFrom('user_prop_db.broker_round')
      .select(['round', 'ended_at'])
      .select(sql<number | string>`date(started_at) = date(now())`.as('today'))
      .where('repairs', '=', repairs ? 1 : 0)
      .orderBy('round', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (last && last.ended_at === null) return { round: last.round, repairs };
    if (last && (at !== undefined || (daily && Number(last.today)))) return undefined;
    await trx.deleteFrom(driftTable({ repairs })).execute();
    const { insertId } = await trx
      .insertInto('user_prop_db.broker_round')
      .values({
        kind: comparedEntities[0] ?? '',
        after_id: '0',
        compared: '0',
        repairs: repairs ? 1 : 0,
      })
      .executeTakeFirstOrThrow();
    return { round: String(insertId), repairs };
  });
}

const roundIn = (mysql: Kysely<ReconcileTables>, { round }: ComparisonRound) =>
  mysql
    .selectFrom('user_prop_db.broker_round')
    .selectAll()
    .where('round', '=', round)
    .executeTakeFirstOrThrow();

/**
 * Notes suspects range by range, each in one transaction with the cursor; false where time runs out or the kill switch
 * is turned, after one range at the earliest.
 */
async function compareAll(
  { mysql, upstream, held, hand, firstSwitchOff }: Work,
  round: ComparisonRound,
): Promise<boolean> {
  let { kind, after_id: after, compared: total } = await roundIn(mysql, round);
  while (kind) {
    await held.renew();
    const now = kind as ComparedEntity;
    const sides = { mysql, upstream };
    const { upTo, compared, differences } = await compareRange(sides, now, after, rangeRowsMax);
    const next =
      upTo === undefined ? (comparedEntities[comparedEntities.indexOf(now) + 1] ?? '') : now;
    total = String(BigInt(total) + BigInt(compared));
    const moved = { kind: next, after_id: upTo ?? '0', compared: total };
    await inTransaction(mysql, async (trx) => {
      await assertLeaseHeld(trx, held);
      if (differences.length) await upsertSuspects(trx, round, now, differences);
      await trx
        .updateTable('user_prop_db.broker_round')
        .set(moved)
        .where('round', '=', round.round)
        .execute();
    });
    hand.progress(Number(total), undefined, now);
    kind = next;
    after = moved.after_id;
    if (kind && (hand.remaining() < endMs || (await firstSwitchOff(killSwitch)))) return false;
  }
  return true;
}

/** Looks at suspects again when their time has come; false where time runs out or the kill switch is turned off. */
async function recheckAll(work: Work, round: ComparisonRound): Promise<boolean> {
  const { mysql, held, hand, settings, pause, firstSwitchOff } = work;
  const { driftGraceSeconds } = await settings();
  for (;;) {
    await held.renew();
    const wait = await nextSuspectMs(mysql, round, driftGraceSeconds);
    if (wait === undefined) return true;
    if (hand.remaining() < endMs + wait || (await firstSwitchOff(killSwitch))) return false;
    if (wait > 0) await pause(Math.min(wait, pauseMsMax));
    else await recheck(work, round, driftGraceSeconds);
  }
}

async function recheck(work: Work, round: ComparisonRound, graceSeconds: number): Promise<void> {
  const { mysql, upstream, deliver, held } = work;
  const due = await mysql
    .selectFrom(driftTable(round))
    .select(['kind', 'subject_id', 'upstream_hash'])
    .where('state', '=', 'suspect')
    .where('found_at', '<=', sql<string>`now(3) - interval ${graceSeconds} second`)
    .orderBy('found_at')
    .limit(idsPerMessageMax)
    .execute();
  for (const [kind, rows] of Map.groupBy(due, (row) => row.kind as ComparedEntity)) {
    const before = new Map(rows.map((row) => [row.subject_id, row.upstream_hash]));
    const still = await compareIds({ mysql, upstream }, kind, [...before.keys()]);
    const differing = new Set(still.map(({ id }) => id));
    const equal = [...before.keys()].filter((id) => !differing.has(id));
    const changed = still.filter(({ id, upstreamHash }) => before.get(id) !== upstreamHash);
    const drift = still.filter((one) => !changed.includes(one)).map(({ id }) => id);
    await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
      await assertLeaseHeld(trx, held);
      await deleteSuspects(trx, round, kind, equal);
      if (changed.length) await upsertSuspects(trx, round, kind, changed);
      await markAsDrift(trx, round, kind, drift);
      if (round.repairs) follow(...messagesFor(sourceOf(kind), drift));
    });
  }
}

async function endRound({ mysql, held }: Work, { round }: ComparisonRound): Promise<void> {
  await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, held);
    await trx
      .updateTable('user_prop_db.broker_round')
      .set({ ended_at: sql<string>`now(3)` })
      .where('round', '=', round)
      .execute();
  });
}

/** The rows that have drifted apart in this round: how many of each kind, and the first by id. */
async function reportOf({ mysql }: Work, round: ComparisonRound, done: boolean) {
  const { compared } = await roundIn(mysql, round);
  const drift: Record<string, { rows: number; ids: string[] }> = {};
  for (const kind of comparedEntities) {
    const all = mysql
      .selectFrom(driftTable(round))
      .where('kind', '=', kind)
      .where('state', '=', 'drift');
    const { rows } = await all
      .select(({ fn }) => fn.countAll<string>().as('rows'))
      .executeTakeFirstOrThrow();
    if (!Number(rows)) continue;
    const first = await all.select('subject_id').orderBy('subject_id').limit(shownIdsMax).execute();
    drift[kind] = { rows: Number(rows), ids: first.map(({ subject_id }) => subject_id) };
  }
  const word = Object.keys(drift).length ? 'drift found' : 'no drift';
  return {
    outcome: done ? word : 'unfinished',
    round: round.round,
    compared: Number(compared),
    drift,
  };
}

/** What the person who asked has to ask for next. */
async function rest({ mysql }: Work, round: ComparisonRound, { repair, daily }: Reconcile) {
  const { kind, after_id } = await roundIn(mysql, round);
  const { left } = await mysql
    .selectFrom(driftTable(round))
    .select(({ fn }) => fn.countAll<string>().as('left'))
    .where('state', '=', 'suspect')
    .executeTakeFirstOrThrow();
  const at = kind
    ? `${round.round}: ${kind} ${after_id}`
    : `${round.round}: ${left} to be looked at again`;
  return { suspects: Number(left), resume: { repair, daily, at } };
}
