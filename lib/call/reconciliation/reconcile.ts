import type { Kysely } from 'kysely';
import * as z from 'zod';
import { isUnavailable, PartnerUnavailable, textOf } from '../../platform/errors.ts';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import type { Partner } from '../../platform/partners/partner.ts';
import { wallTime } from '../../platform/time.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { NamedDays } from '../inputs.ts';
import type { Payments } from '../partners/payment-centre.ts';
import type { FirstCallSwitchOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import type { CallSwitch } from '../switches.ts';
import {
  type Comparison,
  type Difference,
  differencesOfContracts,
  differencesOfDays,
  differencesOfIncome,
} from './book-differences.ts';
import { differencesOfK3 } from './erp-differences.ts';
import { type Compared, daysNotCompared, type Part, writeDay } from './reconciled-days.ts';
import {
  differencesOfStatement,
  plusDays,
  type Statements,
  statementsOf,
} from './statement-differences.ts';

/** What a person names (`NamedDays`), or the event of a schedule, which means the day before. */
export const ReconcileDays = z.union([
  NamedDays,
  z
    .looseObject({ source: z.literal('aws.events'), time: z.iso.datetime({ offset: true }) })
    .transform(({ time }) => {
      const day = plusDays(wallTime(new Date(time)).slice(0, 10), -1);
      return { from: day, to: day, daily: true };
    }),
]);
export type ReconcileDays = z.infer<typeof ReconcileDays>;

export interface ReconcileDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly payments: Pick<Payments, 'statementOf'>;
  readonly k3: Partner;
  readonly settings: () => Promise<Pick<CallSettings, 'shadow'>>;
  readonly firstSwitchOff: FirstCallSwitchOff;
}

/** With less than this left no further day is begun. */
const dayMs = 120_000;
/** With less than this left what belongs to no day is left for the next run. */
const endMs = 20_000;
const shownMax = 20;

/**
 * Holds call log, payment log, the payment centre's statement, income, contract balances and K3 against each other,
 * and writes every difference down by its name, a day at a time. Contracts, and income as a whole, belong to no day: all
 * of them are compared, and what differs is written down with the last day. A day that was reconciled before gets what
 * is found now.
 *
 * What cannot be compared, because a partner is unavailable, is written down as missing. The daily run compares it
 * later, together with days that no run has compared, and names those that are left.
 */
export async function reconcile(
  deps: ReconcileDeps,
  { from, to, ...how }: ReconcileDays,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
) {
  const { mysql, settings } = deps;
  const isDaily = 'daily' in how;
  // The charges are the old system's, and it has the books.
  if (isDaily && (await settings()).shadow) return { outcome: 'in shadow mode', from, to };
  const run: Run = { ...deps, ...partnersOf(deps), remaining, found: new Map(), unavailable: {} };
  for (let day = from; day <= to; day = plusDays(day, 1)) {
    if (day !== from && remaining() < dayMs)
      return { ...summaryOf(from, day, run), resume: { from: day, to } };
    await reconcileDay(run, day, day === to, progress);
  }
  if (isDaily) await makeUp(run, to, progress);
  const open = await daysNotCompared(mysql, to);
  const own = open.filter((day) => isDaily || day >= from);
  return { ...summaryOf(from, to, run, own.length > 0), ...named(open) };
}

interface Run extends ReconcileDeps {
  readonly statements: Statements;
  readonly remaining: () => number;
  /** By kind and subject: what two days show is one difference. */
  readonly found: Map<string, Difference>;
  /** Why a part could not be compared. */
  readonly unavailable: Partial<Record<Part, string>>;
}

/** The partners, of which one whose kill switch is off counts as unavailable. */
function partnersOf({
  payments,
  k3,
  firstSwitchOff,
}: ReconcileDeps): Pick<Run, 'statements' | 'k3'> {
  const unlessPartnerOff = async (name: CallSwitch, partner: string) => {
    const off = await firstSwitchOff(name);
    if (off) throw new PartnerUnavailable(partner, 'none', `${off} is off`);
  };
  return {
    statements: statementsOf({
      statementOf: async (day) => {
        await unlessPartnerOff('partner/payment', 'the payment centre');
        return await payments.statementOf(day);
      },
    }),
    k3: async (call) => {
      await unlessPartnerOff('partner/k3', 'K3');
      return await k3(call);
    },
  };
}

const summaryOf = (from: string, to: string, { found, unavailable }: Run, isOpen = false) => {
  const isIncomplete = isOpen || Object.keys(unavailable).length > 0;
  const first = [...found.values()].slice(0, shownMax);
  return {
    outcome: found.size ? 'differences' : isIncomplete ? 'incomplete' : 'balanced',
    ...{ from, to, differences: found.size },
    ...(found.size && { first }),
    ...(Object.keys(unavailable).length && { unavailable }),
  };
};

const named = (days: readonly string[]) =>
  days.length ? { notCompared: days.slice(0, shownMax), daysNotCompared: days.length } : {};

async function reconcileDay(
  run: Run,
  day: string,
  isLast: boolean,
  progress: Hand['progress'],
): Promise<void> {
  const compared = await compareDay(run, day, isLast);
  const differences = await writeDay(run.mysql, day, compared);
  for (const one of differences) run.found.set(`${one.kind}\n${one.subject}`, one);
  for (const { part, why } of compared) if (why !== undefined) run.unavailable[part] = why;
  progress(differences.length, undefined, day);
}

async function compareDay(run: Run, day: string, isLast: boolean): Promise<Compared[]> {
  const { mysql, statements, remaining } = run;
  const span = { from: `${day} 00:00:00`, to: `${plusDays(day, 1)} 00:00:00` };
  const ofDay = [
    await compare('days', async () => ({ found: await differencesOfDays(mysql, span) })),
    await compare('statement', () => differencesOfStatement(mysql, statements, day)),
  ];
  if (!isLast) return ofDay;
  return [
    ...ofDay,
    await compare('income', () => differencesOfIncome(mysql, span, remaining, endMs)),
    await compare('contracts', async () => ({ found: await differencesOfContracts(mysql, span) })),
    await compare('k3', () => differencesOfK3(run, span)),
  ];
}

/** A part that cannot be compared blocks no other. Without our own database nothing can be compared. */
async function compare(part: Part, work: () => Promise<Comparison>): Promise<Compared> {
  try {
    return { part, ...(await work()) };
  } catch (error) {
    if (isUnavailable(error)) throw error;
    return { part, found: [], why: textOf(error) };
  }
}

/** A day that cannot be compared blocks no other, unless the payment centre has no statement of the last day either. */
async function makeUp(run: Run, to: string, progress: Hand['progress']): Promise<void> {
  if (run.unavailable.statement !== undefined) return;
  for (const day of await daysNotCompared(run.mysql, to)) {
    if (run.remaining() < dayMs) return;
    if (day !== to) await reconcileDay(run, day, false, progress);
  }
}
