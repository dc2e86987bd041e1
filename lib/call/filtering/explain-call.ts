/** Use case of call/explain-call: tells support why a call was charged or not. */
import { type Kysely, sql } from 'kysely';
import * as z from 'zod';
import { refusal } from '../../platform/http/refusal.ts';
import type { AnswerOf } from '../../platform/http/route.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { maskNumber } from '../phone-numbers.ts';
import type { explainCallRoute } from '../routes.ts';
import { filterRules } from './filter-rules.ts';

type Explanation = Extract<AnswerOf<typeof explainCallRoute>, { status: 200 }>['body'];
type Db = Kysely<AccountingTables>;

/** The column `decision`, as call/filter-call writes it; imported calls have no rules in it. */
const Decision = z.object({
  rules: z.array(
    z.object({
      rule: z.int(),
      input: z.record(z.string(), z.unknown()),
      applies: z.boolean(),
    }),
  ),
});

/**
 * Explains why a call was charged or not, and what followed: charge, reversal, income, listings. Uses the rules' inputs
 * as stored with the decision, because current data about the caller may differ. Includes the decision of shadow mode.
 */
export async function explainCall(
  { mysql }: { readonly mysql: Db },
  call_id: string,
): Promise<AnswerOf<typeof explainCallRoute>> {
  const [logged, shadowed] = await Promise.all([
    findCall(mysql, 'user_prop_db.sublessor_call_log_201409', call_id),
    findCall(mysql, 'user_prop_db.call_shadow_log', call_id),
  ]);
  const call = logged ?? shadowed;
  if (!call) return refusal('not_found', 'No such call.');
  const { user_id, status, started_at, duration, call_type, filter_rule, decided_at } = call;
  // The two logs number their rows independently, and only calls of the real log are charged.
  const [charge] = logged ? await findPayments(mysql, 'call_log_id', logged.id) : [];
  const [reversal] = charge ? await findPayments(mysql, 'reverses_id', charge.payment_id) : [];
  const ids = [charge, reversal].flatMap((one) => one?.payment_id ?? []);
  const body: Explanation = {
    call_id,
    user_id,
    caller: maskNumber(call.caller),
    callee: maskNumber(call.callee),
    status,
    started_at,
    duration,
    call_type,
    filter_rule,
    decided_at,
    rules: rulesOf(call.decision, filter_rule),
    charge: charge ?? null,
    reversal: reversal ?? null,
    income: ids.length ? await incomeOf(mysql, ids) : [],
    listings: await listingsOf(mysql, user_id),
    shadow: shadowed ? shadowDecision(shadowed) : null,
  };
  return { status: 200, outcome: 'explained', body };
}

type Log = 'user_prop_db.sublessor_call_log_201409' | 'user_prop_db.call_shadow_log';

/** Finds a call in one of the logs. The shadow log has all columns of the real one, hence the cast. */
const findCall = (mysql: Db, log: Log, call_id: string) =>
  mysql
    .selectFrom(log as 'user_prop_db.call_shadow_log')
    .selectAll()
    .where('call_id', '=', call_id)
    .executeTakeFirst();

/** The decision of shadow mode, and how it compares with the old system's. */
const shadowDecision = ({
  filter_rule,
  decided_at,
  decision,
  compared,
}: NonNullable<Awaited<ReturnType<typeof findCall>>>): Explanation['shadow'] => ({
  filter_rule,
  decided_at,
  compared,
  rules: rulesOf(decision, filter_rule),
});

/** Names and numbers of the rules, without `valid`, which means that none applies. */
const namedRules = Object.entries(filterRules).filter(([, rule]) => rule !== filterRules.valid);

function rulesOf(decision: unknown, filterRule: number | null): Explanation['rules'] {
  const results = Decision.safeParse(decision).data?.rules ?? [];
  return namedRules.map(([name, rule]) => {
    const result = results.find((one) => one.rule === rule);
    if (result)
      return {
        rule,
        name,
        input: result.input,
        outcome: result.applies ? 'applies' : 'does not apply',
      };
    return { rule, name, input: {}, outcome: rule === filterRule ? 'applies' : 'not known' };
  });
}

async function findPayments(mysql: Db, column: 'call_log_id' | 'reverses_id', id: string) {
  const rows = await mysql
    .selectFrom('user_prop_db.sublessor_call_payment_log_201409')
    .select(['id', 'amount_fen', 'state', 'balance_fen', 'reason'])
    .select(['created_at', 'sent_at', 'updated_at'])
    .where(column, '=', id)
    .execute();
  return rows.map(({ id: payment_id, amount_fen, balance_fen, ...rest }) => ({
    payment_id,
    amount_fen: Number(amount_fen),
    ...rest,
    balance_fen: balance_fen === null ? null : Number(balance_fen),
  }));
}

async function incomeOf(mysql: Db, ids: readonly string[]): Promise<Explanation['income']> {
  const rows = await mysql
    .selectFrom('user_prop_db.sublessor_accounting_income_201409 as income')
    .leftJoin(
      'user_prop_db.sublessor_contract as contract',
      'contract.contract_id',
      'income.contract_id',
    )
    .select(['payment_id', 'income.amount_fen', 'income.created_at'])
    .select(sql<string | null>`coalesce(contract_no, income.contract_id)`.as('contract_no'))
    .where('payment_id', 'in', ids)
    .orderBy('income.id')
    .execute();
  return rows.map((row) => ({ ...row, amount_fen: Number(row.amount_fen) }));
}

async function listingsOf(mysql: Db, user_id: string): Promise<Explanation['listings']> {
  const row = await mysql
    .selectFrom('user_prop_db.sublessor_listings')
    .select(['state', 'since', 'cause', 'cause_payment_id as payment_id', 'topped_up_at'])
    .where('user_id', '=', user_id)
    .executeTakeFirst();
  return row ?? null;
}
