/** Finds differences between our contracts and K3. */
import { type Kysely, sql } from 'kysely';
import { PartnerUnavailable } from '../../platform/errors.ts';
import type { Partner } from '../../platform/partners/partner.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { type K3Contract, readFromK3 } from '../partners/k3.ts';
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

/**
 * Compares our contracts with K3. The list of contracts comes from the postings, so that a contract whose row is missing
 * is still compared. A contract for which K3 gives no answer, or an unreadable one (not even JSON, perhaps), is reported
 * and does not block the others.
 */
export async function differencesOfK3(deps: Deps, { to }: Span): Promise<Comparison> {
  const found: Difference[] = [];
  const unanswered: string[] = [];
  let [after, inARow, why] = ['0', 0, ''];
  const compare = async (row: Row) => {
    try {
      found.push(...(await differencesOfContract(deps.k3, row)));
      inARow = 0;
    } catch (error) {
      if (!(error instanceof PartnerUnavailable)) throw error;
      if (error.answered) {
        found.push(notReadable(row, error.message));
        inARow = 0;
        return;
      }
      inARow += 1;
      unanswered.push(row.contract_no);
      why ||= error.message;
    }
  };
  for (;;) {
    const page = await pageAfter(deps.mysql, after, to);
    const waiting = page.values();
    const lane = async () => {
      for (const row of waiting) {
        await compare(row);
        if (inARow >= unansweredMax) return;
      }
    };
    // An error is thrown only after all lanes have ended.
    for (const ended of await Promise.allSettled(Array.from({ length: atOnceMax }, lane)))
      if (ended.status === 'rejected') throw ended.reason;
    const last = page.at(-1);
    if (!last || page.length < pageRowsMax || inARow >= unansweredMax) break;
    after = last.contract_id;
  }
  const names = unanswered.slice(0, unansweredMax).map((no) => `contract ${no}`);
  return {
    found: found.toSorted(bySubject),
    why: unanswered.length ? `${names.join(', ')}: ${why}` : undefined,
  };
}

const notReadable = ({ contract_no, amount_fen }: Row, theirs: string): K3Difference => ({
  kind: 'contract not readable in K3',
  subject: `contract ${contract_no}`,
  ours: amount_fen,
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

async function differencesOfContract(k3: Partner, row: Row): Promise<K3Difference[]> {
  const subject = `contract ${row.contract_no}`;
  const theirs = await readFromK3(k3, row.contract_no);
  if (!theirs) {
    const why = row.message ? `${row.status}: ${row.message}` : row.status;
    return [
      {
        kind: 'contract not in K3',
        subject,
        ours: why ?? row.amount_fen,
        theirs: null,
      },
    ];
  }
  return [...fieldDifferences(subject, row, theirs)];
}

/** Compares the fields. Names of customers are left out, because reports reach more people than tables. */
function* fieldDifferences(subject: string, row: Row, theirs: K3Contract): Generator<K3Difference> {
  const amount = row.now_fen ?? row.amount_fen;
  if (BigInt(amount) !== BigInt(theirs.amount))
    yield { kind: 'contract amount in K3', subject, ours: amount, theirs: String(theirs.amount) };
  if (row.customer !== null && row.customer !== theirs.customer)
    yield { kind: 'contract customer in K3', subject, ours: 'a name', theirs: 'another name' };
  if (row.signed_at !== null && row.signed_at !== theirs.signed_at)
    yield { kind: 'contract date in K3', subject, ours: row.signed_at, theirs: theirs.signed_at };
}
