/** Leases on rows of this domain, and the guards that postpone a message. */
import { sql } from 'kysely';
import { Postponed } from '../platform/errors.ts';
import type { FirstSwitchOff } from '../platform/operations/switches.ts';
import { dateOf } from '../platform/time.ts';
import type { CallSwitch } from './switches.ts';

/**
 * Duration of a row's lease. Longer than any consumer may run, and longer than all calls to a partner under one lease,
 * so that a sender which still waits for its answer keeps the row. Each write also checks the fencing token (`epoch`).
 */
export const leaseSeconds = 60;

/** The expiry of a lease that starts now. */
export const leaseExpiry = sql<string>`now(3) + interval ${sql.lit(leaseSeconds)} second`;

/** 1 if another worker's lease on the row is valid, else 0. */
export const isLeased = (column: string) =>
  sql<number | string>`coalesce(${sql.ref(column)} > now(3), 0)`;

/** Postpones the message until the lease expires, if another worker holds it. */
export function postponeIfLeased(
  { held, held_until }: { readonly held: number | string; readonly held_until: string | null },
  what: string,
): void {
  if (held_until && Number(held) === 1)
    throw new Postponed(
      dateOf(held_until),
      `${what}: leased by another worker until ${held_until}`,
    );
}

/** Returns the first given kill switch of this domain that is off. */
export type FirstCallSwitchOff = FirstSwitchOff<CallSwitch>;

/** Postpones the message until the kill switch is on again, if it is off. */
export async function postponeIfSwitchedOff(
  firstSwitchOff: FirstCallSwitchOff,
  name: CallSwitch,
): Promise<void> {
  const heldBy = await firstSwitchOff(name);
  if (heldBy) throw new Postponed(new Date(0), `${heldBy} is off`, { heldBy });
}
