/** Finds differences between our contracts and K3. */
import { type Kysely, sql } from 'kysely';
import { PartnerUnavailable } from '../../platform/errors.ts';
import type { Partner } from '../../platform/partners/partner.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { isAddressable } from '../contract-numbers.ts';
import { type InK3, type K3Contract, readFromK3 } from '../partners/k3.ts';
import type { Comparison, Difference, Span } from './book-differences.ts';

const pageRowsMax = 500;
const atOnceMax = 5;

/** The comparison stops after this many contracts in a row without an answer. */
const unansweredMax = 10;

interface Deps {
  readonly mysql: Kysely<AccountingTables>;
  readonly k3: Partner;
}

/** The kinds of difference that this module can find. */
export const k3Kinds = [
  'contract not in K3',
  'contract amount in K3',
  'contract customer in K3',
  'contract date in K3',
  'contract not readable in K3',
] as const;

interface K3Difference extends Difference {
  readonly kind: (typeof k3Kinds)[number];
}

interface Compared {
  readonly found: Difference[];
  readonly unanswered: Unanswered[];
  /** Contracts whose answer is not K3's own. */
  readonly foreign: Unanswered[];
  /** The number of requests without an answer since the last answer. */
  inARow: number;
  /** A contract for which K3 itself has answered. */
  answered: Row | undefined;
}

interface Unanswered {
  readonly row: Row;
  readonly why: string;
}

/**
 * Compares our contracts with K3. The list of contracts comes from the postings, so that a contract whose row is missing
 * is still compared. A contract for which K3 gives no answer is reported and does not block the others.
 */
export async function differencesOfK3(deps: Deps, { to }: Span): Promise<Comparison> {
  const run: Compared = {
    found: [],
    unanswered: [],
    foreign: [],
    inARow: 0,
    answered: undefined,
  };
  for (let after = '0'; ; ) {
    const page = await pageAfter(deps.mysql, after, to);
    await compareAll(deps.k3, page, run);
    const last = page.at(-1);
    if (!last || page.length < pageRowsMax || run.inARow >= unansweredMax) break;
    after = last.contract_id;
  }
  await decideForeign(deps.k3, run);
  const [first] = run.unanswered;
  const names = run.unanswered.slice(0, unansweredMax).map(({ row }) => subjectOf(row));
  return {
    found: run.found.toSorted(bySubject),
    why: first && `${names.join(', ')}: ${first.why}`,
  };
}

async function compareAll(k3: Partner, rows: readonly Row[], run: Compared): Promise<void> {
  const waiting = rows.values();
  const lane = async () => {
    for (const row of waiting) {
      await compare(k3, row, run);
      if (run.inARow >= unansweredMax) return;
    }
  };
  // An error is thrown only after all lanes have ended.
  for (const ended of await Promise.allSettled(Array.from({ length: atOnceMax }, lane)))
    if (ended.status === 'rejected') throw ended.reason;
}

async function compare(k3: Partner, row: Row, run: Compared): Promise<void> {
  const { contract_no } = row;
  if (!isAddressable(contract_no)) {
    run.found.push(notReadable(row, `contract number ${contract_no} cannot be part of a URL`));
    return;
  }
  try {
    run.found.push(...contractDifferences(row, await readFromK3(k3, contract_no)));
    run.answered = row;
    run.inARow = 0;
  } catch (error) {
    if (!(error instanceof PartnerUnavailable)) throw error;
    run.inARow = error.answered ? 0 : run.inARow + 1;
    (error.answered ? run.foreign : run.unanswered).push({ row, why: error.message });
  }
}

/**
 * Decides what answers that are not K3's own mean (docs/decisions/0081-answers-that-are-not-k3s.md). If K3 itself answers
 * about another contract now, these contracts are requested once more and then reported. Otherwise K3 is unavailable, and
 * nothing is reported about them.
 */
async function decideForeign(k3: Partner, run: Compared): Promise<void> {
  const foreign = run.foreign.splice(0);
  if (!foreign.length) return;
  if (!(await isThere(k3, run.answered))) {
    run.unanswered.push(...foreign);
    return;
  }
  run.inARow = 0;
  await compareAll(
    k3,
    foreign.map(({ row }) => row),
    run,
  );
  run.found.push(...run.foreign.map(({ row, why }) => notReadable(row, why)));
}

/** Returns whether K3 itself answers about a contract that it has answered before. */
async function isThere(k3: Partner, row: Row | undefined): Promise<boolean> {
  if (!row) return false;
  try {
    await readFromK3(k3, row.contract_no);
    return true;
  } catch (error) {
    if (error instanceof PartnerUnavailable) return false;
    throw error;
  }
}

const subjectOf = ({ contract_no }: Row): string => `contract ${contract_no}`;

const notReadable = (row: Row, theirs: string): K3Difference => ({
  kind: 'contract not readable in K3',
  subject: subjectOf(row),
  ours: row.amount_fen,
  theirs,
});

const bySubject = (one: Difference, other: Difference) => (one.subject < other.subject ? -1 : 1);

/** Returns a page of contracts that were stored before `to`. */
const pageAfter = (mysql: Kysely<AccountingTables>, id: string, to: string) =>
  mysql
    .selectFrom('user_prop_db.sublessor_contract_posting as posting')
    .leftJoin(
      'user_prop_db.sublessor_contract as contract',
      'contract.contract_id',
      'posting.contract_id',
    )
    .select(['posting.contract_id', 'posting.contract_no', 'posting.amount_fen', 'message'])
    .select(['customer', 'signed_at', 'status', sql<string>`contract.amount_fen`.as('now_fen')])
    .where('posting.contract_id', '>', id)
    .where('posting.created_at', '<', to)
    .orderBy('posting.contract_id')
    .limit(pageRowsMax)
    .execute();

type Row = Awaited<ReturnType<typeof pageAfter>>[number];

function* contractDifferences(row: Row, inK3: InK3): Generator<K3Difference> {
  if (inK3.is === 'unreadable') yield notReadable(row, inK3.why);
  else if (inK3.is === 'absent') yield absent(row);
  else yield* fieldDifferences(row, inK3.contract);
}

function absent(row: Row): K3Difference {
  const why = row.message ? `${row.status}: ${row.message}` : row.status;
  const ours = why ?? row.amount_fen;
  return { kind: 'contract not in K3', subject: subjectOf(row), ours, theirs: null };
}

/** Compares the fields. Names of customers are left out, because reports reach more people than tables. */
function* fieldDifferences(row: Row, theirs: K3Contract): Generator<K3Difference> {
  const subject = subjectOf(row);
  const amount = row.now_fen ?? row.amount_fen;
  if (BigInt(amount) !== BigInt(theirs.amount))
    yield { kind: 'contract amount in K3', subject, ours: amount, theirs: String(theirs.amount) };
  if (row.customer !== null && row.customer !== theirs.customer)
    yield { kind: 'contract customer in K3', subject, ours: 'a name', theirs: 'another name' };
  if (row.signed_at !== null && row.signed_at !== theirs.signed_at)
    yield { kind: 'contract date in K3', subject, ours: row.signed_at, theirs: theirs.signed_at };
}
