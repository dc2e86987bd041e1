import type { Stage } from '../run-scenario.ts';

const [log, income, contracts] = [
  'user_prop_db.sublessor_call_payment_log_201409',
  'user_prop_db.sublessor_accounting_income_201409',
  'user_prop_db.sublessor_contract',
];

type Row = Record<string, unknown>;

export async function first(
  { databases: { admin } }: Stage,
  sql: string,
): Promise<Row | undefined> {
  const [rows] = await admin.query(`${sql} limit 1`);
  return (rows as Row[])[0];
}

/** Returns a broken invariant of income and contracts, if any; these hold at all times. */
const rules = {
  'A balance is not its contract less its income': `select c.* from ${contracts} c
    where c.balance_fen < 0 or c.balance_fen <> c.amount_fen -
      coalesce((select sum(i.amount_fen) from ${income} i where i.contract_id = c.contract_id), 0)`,
  'A payment is posted with another amount': `select p.id, p.amount_fen, sum(i.amount_fen) posted
    from ${log} p join ${income} i on i.payment_id = p.id group by p.id
    having sum(i.amount_fen) <> p.amount_fen`,
  'Income of what was not charged': `select i.* from ${income} i
    left join ${log} p on p.id = i.payment_id and p.state = 'charged' where p.id is null`,
  'The cursor passed a charge': `select p.id, p.state from ${log} p
    join user_prop_db.sublessor_income_cursor on p.id <= posted_to
    where (p.state not in ('charged', 'refused') or p.state = 'charged' and not exists
        (select 1 from ${income} i where i.payment_id = p.id))
      and not exists (select 1 from user_prop_db.sublessor_income_open o where o.payment_id = p.id)`,
} as const;

export async function wrongIncome(stage: Stage): Promise<string | undefined> {
  for (const [rule, sql] of Object.entries(rules)) {
    const found = await first(stage, sql);
    if (found) return `${rule}: ${JSON.stringify(found)}`;
  }
  return undefined;
}

/** Returns what is missing in income at the end, if anything. */
export async function missingIncome(stage: Stage): Promise<string | undefined> {
  const open = await first(
    stage,
    `select p.id, p.state from ${log} p where p.state not in ('charged', 'refused')
      or p.state = 'charged' and not exists (select 1 from ${income} i where i.payment_id = p.id)`,
  );
  if (open) return `Payment ${open['id']} is ${open['state']} and not posted.`;
  const kept = await first(stage, 'select * from user_prop_db.sublessor_income_open');
  if (kept) return `Still remembered: ${JSON.stringify(kept)}`;
  const idle = await first(
    stage,
    `select i.payment_id, c.contract_id from ${income} i
     join ${contracts} c on c.user_id = i.user_id and c.balance_fen > 0
     where i.contract_id is null and i.amount_fen > 0
       and not exists (select 1 from ${log} r where r.reverses_id = i.payment_id)`,
  );
  return idle && `A charge waits while a contract has money: ${JSON.stringify(idle)}`;
}
