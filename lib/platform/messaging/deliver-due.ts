/** Sends due rows of the outbox, destination by destination. */
import type { Kysely } from 'kysely';
import { reportFailure } from '../lambda/log.ts';
import type { Tick } from '../lambda/schedule.ts';
import { acquireLease, type Lease } from '../mysql/lease.ts';
import type { PlatformSettings } from '../settings.ts';
import type { PlatformTables } from '../tables.ts';
import { countRefused, dueDestinations, leaseDueRows, type OutboxKind } from './due-rows.ts';
import { releaseLifted } from './held-rows.ts';
import type { Deliver } from './outbox.ts';
import { sendLeased } from './send-leased.ts';

const lookEveryMs = 2_000;
export const leaseSeconds = 10;
/** A look that takes longer renews its lease in between. */
export const renewAfterMs = 3_000;
/** With less than this left neither a look nor a take of invalidations begins: such a take lasts up to 3.5 s. */
const endMs = 5_000;
/** With less than this left no messages are taken: their sending would be cut. */
const lastTakeMs = 2_500;
/** So much is kept for the end: for the lease to be released, and for what is measured. */
const reserveMs = 1_500;
/** After this much time the messages have their turn, however many invalidations are due. */
const invalidationsMs = 4_000;
/** A poll waits this long for the destinations that it sends to. Later polls skip a slower destination. */
const slowMs = 2_000;
/** Destinations that are sent to side by side: what their rows have in memory is bounded by it. */
const atOnceMax = 8;
const rowsPerTakeMax = 500;
/** More are looked at by the next look: each costs a statement. */
const destinationsPerLookMax = 500;
/** While other rows are due, one row in this many of a destination is a row that was refused before. */
const refusedShare = 10;

export interface DeliveryDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<PlatformSettings>;
  readonly pause: (ms: number) => Promise<void>;
}

interface Counts {
  delivered: number;
  failed: number;
}

/**
 * Sends what is due in the outbox until the next run takes over: what a writer could not send itself, and what was
 * postponed. One run at a time, so that the limit per minute is one. Invalidations go first and are not limited; every
 * other destination has the limit for itself: docs/decisions/0070-fates-of-outbox-rows.md.
 */
export async function deliverDue(deps: DeliveryDeps, { remaining }: Pick<Tick, 'remaining'>) {
  const claimed = await claimInTime(deps, remaining);
  if (!claimed) return { outcome: 'lease-not-acquired' as const, delivered: 0 };
  const counts: Counts = { delivered: 0, failed: 0 };
  const sending: Sending = { destinations: new Set(), lanes: [] };
  try {
    const look = looks({ ...deps, remaining, claimed, counts, sending });
    // A whole pause follows each look, or the minute of a handover would have one look too many. A slow last look has a
    // shorter one: together they still last more than two seconds.
    while (remaining() > endMs) {
      if (!(await look())) return { outcome: 'fenced-off' as const, ...counts };
      await deps.pause(Math.max(0, Math.min(lookEveryMs, remaining() - reserveMs)));
    }
  } finally {
    await claimed.release();
    await within(remaining() - reserveMs, Promise.all(sending.lanes));
  }
  const measured = { 'rows refused': await countRefused(deps.mysql) };
  return {
    outcome: counts.delivered ? ('delivered' as const) : ('nothing-due' as const),
    ...counts,
    measured,
  };
}

/** The run before this one may have seconds left: its successor waits for it, or a minute would have nobody. */
async function claimInTime(
  { mysql, pause }: DeliveryDeps,
  remaining: () => number,
): Promise<Lease | undefined> {
  while (remaining() > endMs) {
    const claimed = await acquireLease(mysql, 'platform/deliver-due', leaseSeconds);
    if (claimed) return claimed;
    await pause(1_000);
  }
  return undefined;
}

/** What is being sent at this moment, perhaps since an earlier look. */
interface Sending {
  readonly destinations: Set<string>;
  /** Each sends to one destination after the other, and never rejects. */
  readonly lanes: Promise<void>[];
}

interface Run extends DeliveryDeps {
  readonly remaining: () => number;
  readonly claimed: Lease;
  readonly counts: Counts;
  readonly sending: Sending;
}

/** A look at the outbox; it answers false where another run has taken the lease. */
function looks(run: Run): () => Promise<boolean> {
  const { mysql, settings, remaining, claimed, sending } = run;
  const after: Record<OutboxKind, string> = { invalidation: '', message: '', refused: '' };
  let renewedAtMs = Number.POSITIVE_INFINITY;
  let number = 0;
  let reached = '';

  async function isHeld(): Promise<boolean> {
    if (renewedAtMs - remaining() < renewAfterMs) return true;
    const askedAtMs = remaining();
    const renewed = await claimed.renew();
    renewedAtMs = askedAtMs;
    return renewed;
  }

  async function destinationsOf(kind: OutboxKind): Promise<readonly string[]> {
    const from = { after: after[kind], max: destinationsPerLookMax };
    const { due, last = '' } = await dueDestinations(mysql, kind, from);
    after[kind] = last;
    return due;
  }

  async function sendInvalidations(): Promise<boolean> {
    const endsAtMs = Math.max(remaining() - invalidationsMs, endMs);
    const mayGoOn = async () => remaining() > endsAtMs && (await isHeld());
    for (const destination of await destinationsOf('invalidation'))
      await reported(
        { destination },
        sendDue(run, { kind: 'invalidation', destination }, { max: Infinity, mayGoOn }),
      );
    return await isHeld();
  }

  async function sendMessages(max: number, refusedMax: number): Promise<void> {
    const fresh = new Set(await destinationsOf('message'));
    const refused = new Set(await destinationsOf('refused'));
    const endsAtMs = Math.max(remaining() - lookEveryMs, lastTakeMs);
    const mayGoOn = async () => remaining() > endsAtMs;
    const due = [...fresh.union(refused)]
      .filter((one) => !sending.destinations.has(one))
      .toSorted();
    // Those that the last look did not reach come first.
    const turn = [...due.filter((one) => one > reached), ...due.filter((one) => one <= reached)];
    const rest = turn.values();
    const lane = async () => {
      for (const destination of rest) {
        if (!(await mayGoOn())) return;
        reached = destination;
        sending.destinations.add(destination);
        const kinds = { fresh: fresh.has(destination), refused: refused.has(destination) };
        await reported(
          { destination },
          sendTo(run, destination, kinds, { max, refusedMax, mayGoOn }),
        );
        sending.destinations.delete(destination);
      }
    };
    const lanes = Array.from({ length: atOnceMax - sending.destinations.size }, lane);
    sending.lanes.push(...lanes);
    if (turn.length) await within(Math.min(slowMs, remaining() - reserveMs), Promise.all(lanes));
  }

  return async () => {
    renewedAtMs = Number.POSITIVE_INFINITY;
    if (!(await isHeld())) return false;
    const { deliveriesPerMinuteMax } = await settings();
    if (!(await sendInvalidations())) return false;
    if (remaining() > lastTakeMs)
      await reported({ rows: 'held by lifted switches' }, releaseLifted(mysql));
    const perLookMax = Math.ceil((deliveriesPerMinuteMax * lookEveryMs) / 60_000);
    await sendMessages(perLookMax, refusedMaxOf(number, perLookMax));
    number += 1;
    return true;
  };
}

/** A tenth of all looks' rows together: where a look has fewer than ten, it is one row in some looks, none in others. */
function refusedMaxOf(look: number, perLookMax: number): number {
  const before = (count: number) => Math.ceil((count * perLookMax) / refusedShare);
  return before(look + 1) - before(look);
}

/** One destination's failure is no other's. */
async function reported(
  detail: Readonly<Record<string, unknown>>,
  work: Promise<unknown>,
): Promise<void> {
  try {
    await work;
  } catch (error) {
    reportFailure('not-delivered', detail, error);
  }
}

interface Limits {
  readonly max: number;
  readonly mayGoOn: () => Promise<boolean>;
}

/**
 * Sends what is due to one destination, up to `max` rows. `refusedMax` of them are kept for those that were refused
 * before; what these do not use is for the others.
 */
async function sendTo(
  run: Run,
  destination: string,
  due: { readonly fresh: boolean; readonly refused: boolean },
  { max, refusedMax, mayGoOn }: Limits & { readonly refusedMax: number },
): Promise<void> {
  const send = (kind: OutboxKind, limit: number) =>
    sendDue(run, { kind, destination }, { max: limit, mayGoOn });
  const freshMax = max - (due.refused ? refusedMax : 0);
  const fresh = due.fresh ? await send('message', freshMax) : 0;
  if (!due.refused) return;
  const refused = await send('refused', max - fresh);
  if (due.fresh && fresh === freshMax) await send('message', max - fresh - refused);
}

/** Returns how many were accepted. Those that were refused do not count against the limit. */
async function sendDue(
  { mysql, deliver, counts }: Run,
  group: { readonly kind: OutboxKind; readonly destination: string },
  { max, mayGoOn }: Limits,
): Promise<number> {
  let sent = 0;
  while (sent < max && (await mayGoOn())) {
    const limit = Math.min(rowsPerTakeMax, max - sent);
    const rows = await leaseDueRows(mysql, group, limit);
    if (!rows.length) break;
    const { accepted, isStopped } = await sendLeased({ mysql, deliver }, rows);
    counts.delivered += accepted;
    counts.failed += rows.length - accepted;
    sent += accepted;
    if (rows.length < limit || isStopped) break;
  }
  return sent;
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((done) => {
    timer = setTimeout(done, Math.max(0, ms));
  });
  await Promise.race([work, over]).finally(() => clearTimeout(timer));
}
