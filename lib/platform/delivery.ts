import type { Kysely } from 'kysely';
import { type Claim, claim } from './claim.ts';
import { countRefused, dueDestinations, type Kind, takeDue } from './due-rows.ts';
import type { Deliver } from './outbox.ts';
import type { Tick } from './schedule.ts';
import type { PlatformTables } from './schema.ts';
import { sendTaken } from './send-taken.ts';
import type { PlatformSettings } from './settings.ts';

const lookEveryMs = 2_000;
export const leaseSeconds = 10;
/** A look that takes longer renews its lease in between. */
export const renewAfterMs = 3_000;
/** With less than this left no further look is begun: a look's sending must end before the time-out. */
const endMs = 5_000;
/** After this much time the messages have their turn, however many invalidations are due. */
const invalidationsMs = 4_000;
/** A look waits so long for the destinations that it sends to. A slower one is passed over by the next looks. */
const slowMs = 2_000;
const rowsPerTakeMax = 500;
/** More are looked at by the next look: each costs a statement. */
const destinationsPerLookMax = 500;
/** One in so many of a destination's rows in a look may be one that was refused before, while others are due. */
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
  if (!claimed) return { outcome: 'another delivers', delivered: 0 };
  const counts: Counts = { delivered: 0, failed: 0 };
  const sending: Sending = new Map();
  try {
    const look = looks({ ...deps, remaining, claimed, counts, sending });
    // A whole pause follows each look: a shorter last one would give the minute of a handover one look too many.
    while (remaining() > endMs) {
      if (!(await look())) return { outcome: 'overtaken', ...counts };
      await deps.pause(lookEveryMs);
    }
  } finally {
    await claimed.release();
    await Promise.all(sending.values());
  }
  const measured = { 'rows refused': await countRefused(deps.mysql) };
  return { outcome: counts.delivered ? 'delivered' : 'nothing due', ...counts, measured };
}

/** The run before this one may have seconds left: its successor waits for it, or a minute would have nobody. */
async function claimInTime(
  { mysql, pause }: DeliveryDeps,
  remaining: () => number,
): Promise<Claim | undefined> {
  while (remaining() > endMs) {
    const claimed = await claim(mysql, 'platform/deliver-due', leaseSeconds);
    if (claimed) return claimed;
    await pause(1_000);
  }
  return undefined;
}

/** Destinations whose rows are being sent, each with what ends when they are. */
type Sending = Map<string, Promise<void>>;

interface Run extends DeliveryDeps {
  readonly remaining: () => number;
  readonly claimed: Claim;
  readonly counts: Counts;
  readonly sending: Sending;
}

/** A look at the outbox; it answers false where another run has taken the lease. */
function looks(run: Run): () => Promise<boolean> {
  const { mysql, settings, remaining, claimed, sending } = run;
  const after: Record<Kind, string> = { invalidation: '', message: '', refused: '' };
  let renewedAtMs = Number.POSITIVE_INFINITY;

  async function isHeld(): Promise<boolean> {
    if (renewedAtMs - remaining() < renewAfterMs) return true;
    renewedAtMs = remaining();
    return await claimed.renew();
  }

  async function destinationsOf(kind: Kind): Promise<readonly string[]> {
    const from = { after: after[kind], max: destinationsPerLookMax };
    const { due, last = '' } = await dueDestinations(mysql, kind, from);
    after[kind] = last;
    return due;
  }

  async function sendInvalidations(): Promise<boolean> {
    const endsAtMs = remaining() - invalidationsMs;
    const mayGoOn = async () => remaining() > endsAtMs && (await isHeld());
    for (const destination of await destinationsOf('invalidation'))
      await sendDue(run, { kind: 'invalidation', destination }, { max: Infinity, mayGoOn });
    return await isHeld();
  }

  async function sendMessages(perLookMax: number): Promise<void> {
    const fresh = new Set(await destinationsOf('message'));
    const refused = new Set(await destinationsOf('refused'));
    const endsAtMs = remaining() - lookEveryMs;
    const mayGoOn = async () => remaining() > endsAtMs;
    const started = [...fresh, ...[...refused].filter((destination) => !fresh.has(destination))]
      .filter((destination) => !sending.has(destination))
      .map((destination) => {
        const due = { fresh: fresh.has(destination), refused: refused.has(destination) };
        const sent = sendTo(run, destination, due, { max: perLookMax, mayGoOn });
        sending.set(destination, sent);
        return sent.then(() => void sending.delete(destination));
      });
    if (started.length) await within(slowMs, Promise.all(started));
  }

  return async () => {
    renewedAtMs = Number.POSITIVE_INFINITY;
    if (!(await isHeld())) return false;
    const { deliveriesPerMinuteMax } = await settings();
    if (!(await sendInvalidations())) return false;
    await sendMessages(Math.ceil((deliveriesPerMinuteMax * lookEveryMs) / 60_000));
    return true;
  };
}

interface Limits {
  readonly max: number;
  readonly mayGoOn: () => Promise<boolean>;
}

/** Sends what is due to one destination: no more than `max` together, and what was refused before never in the way. */
async function sendTo(
  run: Run,
  destination: string,
  due: { readonly fresh: boolean; readonly refused: boolean },
  { max, mayGoOn }: Limits,
): Promise<void> {
  const share = due.refused ? Math.ceil(max / refusedShare) : 0;
  const freshMax = Math.max(1, max - share);
  const sent = due.fresh
    ? await sendDue(run, { kind: 'message', destination }, { max: freshMax, mayGoOn })
    : 0;
  if (due.refused)
    await sendDue(run, { kind: 'refused', destination }, { max: max - sent, mayGoOn });
}

/** Returns how many were accepted. Those that were refused do not count against the limit. */
async function sendDue(
  { mysql, deliver, counts }: Run,
  group: { readonly kind: Kind; readonly destination: string },
  { max, mayGoOn }: Limits,
): Promise<number> {
  let sent = 0;
  while (sent < max && (await mayGoOn())) {
    const limit = Math.min(rowsPerTakeMax, max - sent);
    const rows = await takeDue(mysql, group, limit);
    if (!rows.length) break;
    const { accepted, isStopped } = await sendTaken({ mysql, deliver }, rows);
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
    timer = setTimeout(done, ms);
  });
  await Promise.race([work, over]).finally(() => clearTimeout(timer));
}
