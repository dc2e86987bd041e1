import { sql } from 'kysely';
import { Postponed } from '../platform/errors.ts';
import type { FirstSwitchOff } from '../platform/operations/switches.ts';
import { dateOf } from '../platform/time.ts';
import type { CallSwitch } from './switches.ts';

/**
 * How long a row is leased: longer than a consumer may run, and in a run over many rows longer than the exchanges with
 * a partner that are made under one lease, so that nobody takes over from a sender that still waits for an answer. The
 * epoch is part of each write all the same.
 */
export const leaseSeconds = 60;

export const leaseExpiry = sql<string>`now(3) + interval ${sql.lit(leaseSeconds)} second`;

/** Whether another has the row in hand: 1 or 0. */
export const isLeased = (column: string) =>
  sql<number | string>`coalesce(${sql.ref(column)} > now(3), 0)`;

/** Puts off what needs a row that another has in hand. */
export function postponeIfLeased(
  { held, held_until }: { readonly held: number | string; readonly held_until: string | null },
  what: string,
): void {
  if (held_until && Number(held) === 1)
    throw new Postponed(dateOf(held_until), `${what} in hand until ${held_until}`);
}

export type FirstCallSwitchOff = FirstSwitchOff<CallSwitch>;

/** Puts off, until it is lifted, what a kill switch stops. */
export async function postponeIfSwitchedOff(firstSwitchOff: FirstCallSwitchOff, name: CallSwitch): Promise<void> {
  const heldBy = await firstSwitchOff(name);
  if (heldBy) throw new Postponed(new Date(0), `${heldBy} is off`, { heldBy });
}
