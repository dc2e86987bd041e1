/** Compares all books of call charges day by day. */
import type { Kysely } from 'kysely';
import * as z from 'zod';
import { isUnavailable, PartnerUnavailable, textOf } from '../../platform/errors.ts';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import type { OutcomeWithFacts } from '../../platform/lambda/log.ts';
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

/** The input: days that a person names (`NamedDays`), or the event of the schedule, which means the day before. */
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

/** With less time left than this no further day is started. */
const dayMs = 120_000;
/** With less time left than this the comparison of all income ends as incomplete. */
const endMs = 20_000;
const shownMax = 20;

/**
 * Compares call log, payment log, the payment centre's statement, income, contract balances and K3 with each other, day
 * by day, and stores every difference with its kind. Contracts and total income belong to no day: they are compared in
 * full, and their differences are stored with the last day. The differences of a day that was reconciled before are
 * replaced.
 *
 * A part that cannot be compared, because a partner is unavailable, is stored as missing. A later daily run compares
 * missing parts and days that no run has compared, and names the days that are still not compared.
 */
export async function reconcile(
  deps: ReconcileDeps,
  { from, to, ...how }: ReconcileDays,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
): Promise<OutcomeWithFacts> {
  const { mysql, settings } = deps;
  const isDaily = 'daily' in how;
  // In shadow mode the old system makes the charges and keeps the books.
  if (isDaily && (await settings()).shadow) return { outcome: 'in-shadow-mode', from, to };
  const run: Run = { ...deps, ...partnersOf(deps), remaining, found: new Map(), unavailable: {} };
  for (let day = from; day <= to; day = plusDays(day, 1)) {
    if (day !== from && remaining() < dayMs)
      return { ...summaryOf(from, day, run), resume: { from: day, to } };
    await reconcileDay(run, day, day === to, progress);
  }
  if (isDaily) await compareMissedDays(run, to, progress);
  const open = await daysNotCompared(mysql, to);
  const own = open.filter((day) => isDaily || day >= from);
  return { ...summaryOf(from, to, run, own.length > 0), ...notComparedFacts(open) };
}

interface Run extends ReconcileDeps {
  readonly statements: Statements;
  readonly remaining: () => number;
  /** By kind and subject, because the same difference may be found for two days. */
  readonly found: Map<string, Difference>;
  /** The reasons why parts could not be compared. */
  readonly unavailable: Partial<Record<Part, string>>;
}

/** Returns the partners. A partner whose kill switch is off counts as unavailable. */
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

const summaryOf = (
  from: string,
  to: string,
  { found, unavailable }: Run,
  isOpen = false,
): OutcomeWithFacts => {
  const isIncomplete = isOpen || Object.keys(unavailable).length > 0;
  const first = [...found.values()].slice(0, shownMax);
  const outcome = found.size ? 'differences' : isIncomplete ? 'incomplete' : 'balanced';
  return {
    outcome,
    from,
    to,
    differences: found.size,
    ...(found.size && { first }),
    ...(Object.keys(unavailable).length && { unavailable }),
  };
};

const notComparedFacts = (days: readonly string[]) =>
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

/** Compares one part. A part that cannot be compared does not block the others; an error of our own database is thrown. */
async function compare(part: Part, work: () => Promise<Comparison>): Promise<Compared> {
  try {
    return { part, ...(await work()) };
  } catch (error) {
    if (isUnavailable(error)) throw error;
    return { part, found: [], why: textOf(error) };
  }
}

/** Compares days that were missed. Does nothing if the payment centre had no statement of the last day either. */
async function compareMissedDays(run: Run, to: string, progress: Hand['progress']): Promise<void> {
  if (run.unavailable.statement !== undefined) return;
  for (const day of await daysNotCompared(run.mysql, to)) {
    if (run.remaining() < dayMs) return;
    if (day !== to) await reconcileDay(run, day, false, progress);
  }
}
