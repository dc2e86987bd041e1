/** Compares everything that the site shows with upstream, and has drift applied again. */
import { type Kysely, sql } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { acquireLease, assertLeaseHeld, type Lease } from '../../platform/mysql/lease.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
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

/** The dependencies of a step, and the lease under which it writes. */
interface RoundDeps extends ReconcileDeps {
  readonly lease: Lease;
  readonly hand: Hand;
}

const killSwitch = 'broker/reconcile-profiles';
export const leaseSeconds = 120;
/** With fewer milliseconds left, no further step is started. */
const endMs = 15_000;
const rangeRowsMax = 2_000;
const shownIdsMax = 100;
export const pauseMsMax = 30_000;

/**
 * Compares everything that the site shows with upstream, by ranges of keys. A row that differs is a suspect, because
 * its change may still be on its way. It becomes drift if it still differs after upstream has not changed it for
 * `driftGraceSeconds`; drift is published, so that it is applied. A round that runs out of time or crashes is resumed
 * by the next invocation with the same `repair`. While the kill switch is off nothing is compared, and an unfinished
 * round waits.
 */
export async function reconcileProfiles(
  deps: ReconcileDeps,
  input: Reconcile,
  hand: Hand,
): Promise<Outcome> {
  const switchOff = await deps.firstSwitchOff(killSwitch);
  if (switchOff) return { outcome: 'switched-off', switch: switchOff };
  const lease = await acquireLease(deps.mysql, killSwitch, leaseSeconds);
  if (!lease) return { outcome: 'lease-not-acquired' };
  const roundDeps: RoundDeps = { ...deps, lease, hand };
  try {
    const round = await resumeOrStartRound(roundDeps, input);
    if (round === undefined) return { outcome: 'already-done' };
    const isDone =
      (await compareRanges(roundDeps, round)) && (await recheckSuspects(roundDeps, round));
    if (isDone) await endRound(roundDeps, round);
    return {
      ...(await driftReport(roundDeps, round, isDone)),
      ...(isDone ? {} : await remainingWork(roundDeps, round, input)),
    };
  } finally {
    await lease.release();
  }
}

/**
 * Returns the round to resume or a new one, or `undefined` if the requested work is done. Rounds that repair and rounds
 * that only report are independent: a report does not count as the day's repair, and neither resumes the other.
 */
async function resumeOrStartRound(
  { mysql, lease }: RoundDeps,
  { repair: repairs, daily, at }: Reconcile,
): Promise<ComparisonRound | undefined> {
  return await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, lease);
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

const loadRound = (mysql: Kysely<ReconcileTables>, { round }: ComparisonRound) =>
  mysql
    .selectFrom('user_prop_db.broker_round')
    .selectAll()
    .where('round', '=', round)
    .executeTakeFirstOrThrow();

/**
 * Stores suspects range by range, each range in one transaction with the cursor. Returns false if it stopped because
 * time ran out or the kill switch was turned off; it compares at least one range before it stops.
 */
async function compareRanges(
  { mysql, upstream, lease, hand, firstSwitchOff }: RoundDeps,
  round: ComparisonRound,
): Promise<boolean> {
  let { kind, after_id: after, compared: total } = await loadRound(mysql, round);
  while (kind) {
    await lease.renew();
    const entity = kind as ComparedEntity;
    const range = await compareRange({ mysql, upstream }, entity, after, rangeRowsMax);
    const { upTo, compared, differences } = range;
    const next =
      upTo === undefined ? (comparedEntities[comparedEntities.indexOf(entity) + 1] ?? '') : entity;
    total = String(BigInt(total) + BigInt(compared));
    const cursor = { kind: next, after_id: upTo ?? '0', compared: total };
    await inTransaction(mysql, async (trx) => {
      await assertLeaseHeld(trx, lease);
      if (differences.length) await upsertSuspects(trx, round, entity, differences);
      await trx
        .updateTable('user_prop_db.broker_round')
        .set(cursor)
        .where('round', '=', round.round)
        .execute();
    });
    hand.progress(Number(total), undefined, entity);
    kind = next;
    after = cursor.after_id;
    if (kind && (hand.remaining() < endMs || (await firstSwitchOff(killSwitch)))) return false;
  }
  return true;
}

/**
 * Compares suspects again at the end of their grace period. Returns false if it stopped because time ran out or the
 * kill switch was turned off.
 */
async function recheckSuspects(deps: RoundDeps, round: ComparisonRound): Promise<boolean> {
  const { mysql, lease, hand, settings, pause, firstSwitchOff } = deps;
  const { driftGraceSeconds } = await settings();
  for (;;) {
    await lease.renew();
    const wait = await nextSuspectMs(mysql, round, driftGraceSeconds);
    if (wait === undefined) return true;
    if (hand.remaining() < endMs + wait || (await firstSwitchOff(killSwitch))) return false;
    if (wait > 0) await pause(Math.min(wait, pauseMsMax));
    else await recheckDue(deps, round, driftGraceSeconds);
  }
}

async function recheckDue(
  { mysql, upstream, deliver, lease }: RoundDeps,
  round: ComparisonRound,
  graceSeconds: number,
): Promise<void> {
  const due = await mysql
    .selectFrom(driftTable(round))
    .select(['kind', 'subject_id', 'upstream_hash'])
    .where('state', '=', 'suspect')
    .where('found_at', '<=', sql<string>`now(3) - interval ${graceSeconds} second`)
    .orderBy('found_at')
    .limit(idsPerMessageMax)
    .execute();
  for (const [kind, rows] of Map.groupBy(due, (row) => row.kind as ComparedEntity)) {
    const earlierHashes = new Map(rows.map((row) => [row.subject_id, row.upstream_hash]));
    const differences = await compareIds({ mysql, upstream }, kind, [...earlierHashes.keys()]);
    const differingIds = new Set(differences.map(({ id }) => id));
    const equal = [...earlierHashes.keys()].filter((id) => !differingIds.has(id));
    const changed = differences.filter(
      ({ id, upstreamHash }) => earlierHashes.get(id) !== upstreamHash,
    );
    const drift = differences.filter((one) => !changed.includes(one)).map(({ id }) => id);
    await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
      await assertLeaseHeld(trx, lease);
      await deleteSuspects(trx, round, kind, equal);
      if (changed.length) await upsertSuspects(trx, round, kind, changed);
      await markAsDrift(trx, round, kind, drift);
      if (round.repairs) follow(...messagesFor(sourceOf(kind), drift));
    });
  }
}

async function endRound({ mysql, lease }: RoundDeps, { round }: ComparisonRound): Promise<void> {
  await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, lease);
    await trx
      .updateTable('user_prop_db.broker_round')
      .set({ ended_at: sql<string>`now(3)` })
      .where('round', '=', round)
      .execute();
  });
}

/** Returns the drift that this round has found: how many rows of each entity, and the first ids. */
async function driftReport({ mysql }: RoundDeps, round: ComparisonRound, isDone: boolean) {
  const { compared } = await loadRound(mysql, round);
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
  const found = Object.keys(drift).length ? 'drift-found' : 'no-drift';
  const outcome: OutcomeWord = isDone ? found : 'unfinished';
  return {
    outcome,
    round: round.round,
    compared: Number(compared),
    drift,
  };
}

/** Returns the number of open suspects, and the input of the next invocation. */
async function remainingWork(
  { mysql }: RoundDeps,
  round: ComparisonRound,
  { repair, daily }: Reconcile,
) {
  const { kind, after_id } = await loadRound(mysql, round);
  const { left } = await mysql
    .selectFrom(driftTable(round))
    .select(({ fn }) => fn.countAll<string>().as('left'))
    .where('state', '=', 'suspect')
    .executeTakeFirstOrThrow();
  const at = kind
    ? `${round.round}: ${kind} ${after_id}`
    : `${round.round}: ${left} suspects to compare again`;
  return { suspects: Number(left), resume: { repair, daily, at } };
}
