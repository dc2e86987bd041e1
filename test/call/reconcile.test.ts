import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { k3 as k3Client } from '../../lib/call/partners/k3.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import {
  ReconcileDays,
  reconcile as reconcileDays,
} from '../../lib/call/reconciliation/reconcile.ts';
import { PartnerUnavailable } from '../../lib/platform/errors.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { Call } from '../../lib/platform/partners/partner.ts';
import { accountSet } from '../../local/simulators/k3.ts';
import { callLog, contract, day, owner, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';

const { handler } = await import('../../functions/call/reconcile.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const [centre, k3] = [partnerOf('payment'), partnerOf('k3')];
const account = async () => ({ app: 'signalbox', key: 'payment-local-key' });
const settings = { payment_base_api_url: centre.url, payment_api_timeout: 2_000 };
const { deduct } = payments(async () => settings, account);
const ids = ['820000000001', '820000000002', '820000000003'];

/** Today, as the payment centre's statement has it. */
let today = day;
const reconcile = () => handler({ from: today }, contextOf(600_000));
const found = async () =>
  (
    await rowsOf(
      'select kind, subject, ours, theirs from user_prop_db.sublessor_difference order by kind, subject',
    )
  ).map((row) => Object.values(row));

const postedToK3 = (number: string, amount: number) =>
  k3.ask('/contracts', {
    KDAccount: accountSet,
    number,
    customer: '客户',
    amount,
    signed_at: '2026-11-01 10:00:00',
  });

/** Three calls, charged, posted, and a contract that is in K3: everything agrees. */
async function balanced(): Promise<void> {
  const [row] = await rowsOf('select current_date d');
  today = String(row?.['d']);
  await centre.ask('/__accounts', { user_id: owner, balance: 100_000 });
  await contract('11', 50_000);
  await postedToK3('C-11', 50_000);
  await run("update user_prop_db.sublessor_contract set status = 'posted'");
  for (const id of ids) {
    await callLog(id);
    await payment({ id });
    await deduct({ tradeId: id, userId: owner, amountFen: 4_000 });
  }
  await callLog('820000000009', 2);
  await postIncome(eventOf('call/post-income', 'minute'), contextOf());
  for (const table of ['call_log_201409', 'call_payment_log_201409', 'accounting_income_201409'])
    await run(`update user_prop_db.sublessor_${table} set created_at = concat(?, ' 00:00:01')`, [
      today,
    ]);
}

beforeEach(async () => {
  await resetDatabases();
  await Promise.all([centre.reset(), k3.reset()]);
  await balanced();
});

test('everything agrees', async () => {
  expect(await reconcile()).toMatchObject({ outcome: 'balanced', differences: 0 });
  expect(await rowsOf('select verdict from user_prop_db.sublessor_reconciliation')).toEqual([
    { verdict: 'balanced' },
  ]);
});

const log = 'user_prop_db.sublessor_call_payment_log_201409';
const income = 'user_prop_db.sublessor_accounting_income_201409';
const second = 'payment 820000000002';

test.each([
  [
    'a call that is not in the call log',
    'delete from user_prop_db.sublessor_call_log_201409 where id = 820000000002',
    [['charge without valid call', second, '4000', null]],
  ],
  [
    'a call that is not valid',
    'update user_prop_db.sublessor_call_log_201409 set filter_rule = 5 where id = 820000000002',
    [['charge without valid call', second, '4000', 'call call-820000000002 has rule 5']],
  ],
  [
    'a charge that is not in the payment log',
    `delete from ${log} where id = 820000000002`,
    [
      ['income without charge', expect.stringMatching(/^income \d+$/), null, '4000'],
      ['trade without charge', second, null, '4000'],
      ['valid call without charge', 'call call-820000000002', null, null],
    ],
  ],
  [
    'a fen more in the payment log',
    `update ${log} set amount_fen = 4001 where id = 820000000002`,
    [
      ['charge and its income', second, '4001', '4000'],
      ['charge and its trade', second, '4001', '4000'],
    ],
  ],
  [
    'a charge that is still open',
    `update ${log} set state = 'unknown' where id = 820000000002`,
    [
      ['charge open', second, 'unknown', null],
      ['income without charge', expect.stringMatching(/^income \d+$/), null, '4000'],
      ['trade without charge', second, 'unknown', '4000'],
    ],
  ],
  [
    'a fen less in the income',
    `update ${income} set amount_fen = 3999 where payment_id = 820000000002`,
    [
      ['charge and its income', second, '4000', '3999'],
      ['contract balance', 'contract C-11', '38000', '38001'],
    ],
  ],
  [
    'no income',
    `delete from ${income} where payment_id = 820000000002`,
    [
      ['charge and its income', second, '4000', null],
      ['contract balance', 'contract C-11', '38000', '42000'],
    ],
  ],
  [
    'a fen less in the balance',
    'update user_prop_db.sublessor_contract set balance_fen = 37999',
    [['contract balance', 'contract C-11', '37999', '38000']],
  ],
  [
    'a fen more in the contract',
    'update user_prop_db.sublessor_contract set amount_fen = 50001',
    [
      ['contract amount in K3', 'contract C-11', '50001', '50000'],
      ['contract and its posting', 'contract C-11', '50001', '50000'],
      ['contract balance', 'contract C-11', '38000', '38001'],
    ],
  ],
  [
    'no contract',
    'delete from user_prop_db.sublessor_contract',
    [
      ['contract and its posting', 'contract C-11', null, '50000'],
      ['income without contract', 'contract 11', null, '12000'],
    ],
  ],
  [
    'another customer',
    "update user_prop_db.sublessor_contract set customer = '别的'",
    [['contract customer in K3', 'contract C-11', 'a name', 'another name']],
  ],
])('finds %s', async (_, injected, expected) => {
  await run(injected);
  expect(await reconcile()).toMatchObject({ outcome: 'differences', differences: expected.length });
  expect(await found()).toEqual(expected);
});

test('finds a trade that is not ours, one that is missing, and one of another amount', async () => {
  await deduct({ tradeId: '820000000007', userId: owner, amountFen: 4_000 });
  await callLog('820000000004');
  await payment({ id: '820000000004', at: `${today} 00:00:02` });
  await callLog('820000000005');
  await payment({ id: '820000000005', at: `${today} 00:00:02` });
  await deduct({ tradeId: '820000000005', userId: owner, amountFen: 3_999 });
  await postIncome(eventOf('call/post-income', 'minute'), contextOf());
  await reconcile();
  expect(await found()).toEqual([
    ['charge and its trade', 'payment 820000000005', '4000', '3999'],
    ['charge without trade', 'payment 820000000004', '4000', null],
    ['trade without charge', 'payment 820000000007', null, '4000'],
  ]);
});

test('finds a contract that K3 does not have, or with a fen more', async () => {
  await contract('12', 1_000);
  await contract('13', 1_000);
  await postedToK3('C-13', 1_001);
  await reconcile();
  expect(await found()).toEqual([
    ['contract amount in K3', 'contract C-13', '1000', '1001'],
    ['contract not in K3', 'contract C-12', 'open', null],
  ]);
});

test('finds each difference, however many there are', async () => {
  const many = 2_500;
  await run(
    `set session cte_max_recursion_depth = ${many + 1};
     insert into user_prop_db.sublessor_call_log_201409
       (call_id, user_id, caller, callee, status, started_at, duration, created_at, caller_digits)
     with recursive n as (select 1 id union all select id + 1 from n where id < ${many})
     select concat('many-', id), 1, id, '400', 1, ?, 60, ?, id from n`,
    [`${today} 00:00:01`, `${today} 00:00:01`],
  );
  expect(await reconcile()).toMatchObject({ outcome: 'differences', differences: many });
  expect(await found()).toHaveLength(many);
});

test('a charge near midnight stands in the statement of the other day', async () => {
  await run(
    `update ${log} set created_at = concat(date_sub(?, interval 1 day), ' 23:59:59'), updated_at = now()`,
    [today],
  );
  const [row] = await rowsOf('select date_sub(?, interval 1 day) d', [today]);
  const result = await handler({ from: row?.['d'], to: today }, contextOf(600_000));
  expect(result).toMatchObject({ outcome: 'balanced' });
});

test('reconciled again, what was mended is gone', async () => {
  await run(`update ${income} set amount_fen = 3999 where payment_id = 820000000002`);
  await reconcile();
  await run(`update ${income} set amount_fen = 4000 where payment_id = 820000000002`);
  expect(await reconcile()).toMatchObject({ outcome: 'balanced' });
  expect(await found()).toEqual([]);
});

test('the schedule means the day before, in Shanghai', async () => {
  expect(await handler(eventOf('call/reconcile', 'daily'), contextOf(600_000))).toMatchObject({
    from: '2026-11-20',
    to: '2026-11-20',
  });
});

test('with little time it says where to go on', async () => {
  const result = await handler(eventOf('call/reconcile', 'by-hand'), contextOf(60_000));
  expect(result).toMatchObject({ resume: { from: '2026-11-20', to: '2026-11-20' } });
});

test('days in the wrong order, or too many, are refused', async () => {
  const one = (input: object) => handler(input, contextOf());
  await expect(one({ from: '2026-11-21', to: '2026-11-20' })).rejects.toThrow(/no later/);
  await expect(one({ from: '2020-11-21', to: '2026-11-20' })).rejects.toThrow(/400 days/);
});

test('in shadow mode the schedule compares nothing: the charges are the old system’s', async () => {
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    payments: payments(async () => settings, account),
    k3: k3Client(async () => ({ k3_url: k3.url })),
    settings: async () => ({ shadow: true }),
    firstSwitchOff: async () => undefined,
  };
  const hand = { remaining: () => 600_000, progress: () => {} };
  await run(`delete from ${income}`);
  const daily = ReconcileDays.parse(eventOf('call/reconcile', 'daily'));
  expect(await reconcileDays(deps, daily, hand)).toMatchObject({ outcome: 'in-shadow-mode' });
  const named = ReconcileDays.parse({ from: today });
  expect(await reconcileDays(deps, named, hand)).toMatchObject({ outcome: 'differences' });
});

const verdicts = async () =>
  (
    await rowsOf(
      'select day, verdict, missing from user_prop_db.sublessor_reconciliation order by day',
    )
  ).map(({ day: of, verdict, missing }) => [of, verdict, missing]);

test('K3 or the payment centre unavailable: what can be compared is written, and no balance is said', async () => {
  await run(`update ${income} set amount_fen = 3999 where payment_id = 820000000002`);
  await k3.fault('error', 1_000);
  await centre.fault('error', 10, '/statement');
  expect(await reconcile()).toMatchObject({
    outcome: 'differences',
    unavailable: {
      k3: expect.stringMatching(/contract C-11: K3 is unavailable/),
      statement: expect.stringMatching(/payment centre is unavailable/),
    },
    notCompared: [today],
  });
  expect(await found()).toEqual([
    ['charge and its income', second, '4000', '3999'],
    ['contract balance', 'contract C-11', '38000', '38001'],
  ]);
  expect(await verdicts()).toEqual([[today, 'differences', 'statement,k3']]);
  await run(`update ${income} set amount_fen = 4000 where payment_id = 820000000002`);
  expect(await reconcile()).toMatchObject({ outcome: 'incomplete', differences: 0 });
  expect(await verdicts()).toEqual([[today, 'incomplete', 'statement,k3']]);
});

test.each([
  [
    'partner/payment',
    'statement',
    'the payment centre is unavailable: partner/payment is off',
    ['k3'],
  ],
  ['partner/k3', 'k3', 'contract C-11: K3 is unavailable: partner/k3 is off', ['payment']],
])(
  'while %s is off the partner is not asked, and %s is missing',
  async (name, part, why, others) => {
    await run("insert into signalbox.switch (name, state, `by`, why) values (?, 'off', 'a', 'b')", [
      name,
    ]);
    const db = mysql<AccountingTables>('mysql');
    const asked: string[] = [];
    const centres = payments(async () => settings, account);
    const theirs = k3Client(async () => ({ k3_url: k3.url }));
    const deps = {
      mysql: db,
      payments: {
        statementOf: async (of: string) => {
          asked.push('payment');
          return await centres.statementOf(of);
        },
      },
      k3: async <Result>(call: Call<Result>) => {
        asked.push('k3');
        return await theirs(call);
      },
      settings: async () => ({ shadow: false }),
      firstSwitchOff: switches({ mysql: db as never }),
    };
    const hand = { remaining: () => 600_000, progress: () => {} };
    const answer = await reconcileDays(deps, ReconcileDays.parse({ from: today }), hand);
    expect(answer).toMatchObject({ outcome: 'incomplete', unavailable: { [part]: why } });
    expect(await verdicts()).toEqual([[today, 'incomplete', part]]);
    expect([...new Set(asked)]).toEqual(others);
  },
);

const scheduled = (of: string) =>
  handler(
    { source: 'aws.events', time: `${dayAfter(of)}T03:30:00+08:00` } as never,
    contextOf(600_000),
  );
const dayAfter = (of: string) => new Date(Date.parse(of) + 86_400_000).toISOString().slice(0, 10);
const dayBefore = (of: string) => new Date(Date.parse(of) - 86_400_000).toISOString().slice(0, 10);

test('what was missing is compared by a later run, and so are days that no run has compared', async () => {
  const first = dayBefore(dayBefore(dayBefore(today)));
  await centre.fault('error', 1, '/statement');
  await k3.fault('error', 2);
  expect(await scheduled(first)).toMatchObject({ outcome: 'incomplete', notCompared: [first] });
  expect(await verdicts()).toEqual([[first, 'incomplete', 'statement,k3']]);
  const skipped = dayBefore(today);
  expect(await scheduled(today)).toMatchObject({ outcome: 'balanced' });
  expect(await verdicts()).toEqual([
    [first, 'balanced', null],
    [dayBefore(skipped), 'balanced', null],
    [skipped, 'balanced', null],
    [today, 'balanced', null],
  ]);
});

test('days that cannot be made up for are named, and block no other', async () => {
  const good = dayBefore(today);
  const first = dayBefore(dayBefore(dayBefore(good)));
  expect(await scheduled(first)).toMatchObject({ outcome: 'balanced' });
  const statementOf = async (of: string) => {
    if (of < good && of > first)
      throw new PartnerUnavailable('the payment centre', 'none', 'no such day');
    return await payments(async () => settings, account).statementOf(of);
  };
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    payments: { statementOf },
    k3: k3Client(async () => ({ k3_url: k3.url })),
    settings: async () => ({ shadow: false }),
    firstSwitchOff: async () => undefined,
  };
  const daily = ReconcileDays.parse({
    source: 'aws.events',
    time: `${dayAfter(today)}T03:30:00+08:00`,
  });
  const result = await reconcileDays(deps, daily, {
    remaining: () => 600_000,
    progress: () => {},
  });
  expect(result).toMatchObject({
    outcome: 'incomplete',
    notCompared: [dayBefore(dayBefore(good)), dayBefore(good)],
  });
  expect((await verdicts()).slice(-2)).toEqual([
    [good, 'balanced', null],
    [today, 'balanced', null],
  ]);
});

test('a contract about which K3 never answers is named, and the others are compared', async () => {
  await contract('10', 1_000);
  await contract('12', 1_000);
  await postedToK3('C-10', 1_000);
  await postedToK3('C-12', 1_001);
  await k3.fault('error', 2, '/contracts/C-10');
  expect(await reconcile()).toMatchObject({
    outcome: 'differences',
    unavailable: { k3: expect.stringMatching(/^contract C-10: /) },
  });
  expect(await found()).toEqual([['contract amount in K3', 'contract C-12', '1000', '1001']]);
});

test('while a part is missing its former differences stay', async () => {
  await run("update user_prop_db.sublessor_contract set customer = '别的'");
  await reconcile();
  const former = await found();
  expect(former).toHaveLength(1);
  await k3.fault('error', 2);
  await reconcile();
  expect(await found()).toEqual(former);
  await run("update user_prop_db.sublessor_contract set customer = '客户'");
  await reconcile();
  expect(await found()).toEqual([]);
});

test('a charge that is settled after its day was reconciled, without income and trade, is seen', async () => {
  await callLog('820000000004');
  await payment({ id: '820000000004', at: '2026-11-20 10:00:00' });
  await run(`update ${log} set updated_at = concat(?, ' 00:00:03') where id = 820000000004`, [
    today,
  ]);
  await reconcile();
  expect(await found()).toEqual([
    ['charge and its income', 'payment 820000000004', '4000', null],
    ['charge without trade', 'payment 820000000004', '4000', null],
  ]);
});

test('income of an old charge that is there twice is seen, whatever day is reconciled', async () => {
  await run(`update ${log} set created_at = '2026-01-20 10:00:00', updated_at = '2026-01-20 10:00:00'
    where id = 820000000002`);
  await run(
    `insert into ${income} (payment_id, contract_id, user_id, amount_fen, created_at)
    values (820000000002, null, ?, 4000, '2026-01-20 10:00:00')`,
    [owner],
  );
  expect(await found()).toEqual([]);
  await reconcile();
  expect(await found()).toEqual([['charge and its income', second, '4000', '8000']]);
});

test('a trade that the statement lists twice is seen, on one day or on two', async () => {
  const { statementOf } = payments(async () => settings, account);
  const listed = await statementOf(today);
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    k3: k3Client(async () => ({ k3_url: k3.url })),
    settings: async () => ({ shadow: false }),
    firstSwitchOff: async () => undefined,
  };
  const reconcileWith = (of: (asked: string) => typeof listed) =>
    reconcileDays(
      { ...deps, payments: { statementOf: async (asked) => of(asked) } },
      ReconcileDays.parse({ from: today }),
      { remaining: () => 600_000, progress: () => {} },
    );
  const [trade] = listed.filter(({ tradeId }) => tradeId === '820000000002');
  if (!trade) throw new Error('The statement lists no such trade.');
  await reconcileWith((asked) => (asked === today ? [...listed, trade] : []));
  expect(await found()).toEqual([['trade listed twice', second, '4000', '4000 + 4000']]);
  await reconcileWith((asked) => (asked === today ? listed : [trade]));
  expect(await found()).toEqual([['trade listed twice', second, '4000', '4000 + 4000']]);
  expect(await reconcileWith((asked) => (asked === today ? listed : []))).toMatchObject({
    outcome: 'balanced',
  });
});

test('differences whose subjects differ in case or a blank are two, and long texts are cut', async () => {
  await run(
    `insert into user_prop_db.sublessor_call_log_201409
      (call_id, user_id, caller, callee, status, started_at, duration, created_at, caller_digits)
     values ('X1', 1, '1', '400', 1, ?, 60, ?, '1'), ('x1', 1, '2', '400', 1, ?, 60, ?, '2'),
      ('X1 ', 1, '3', '400', 1, ?, 60, ?, '3')`,
    Array.from({ length: 6 }, () => `${today} 00:00:01`),
  );
  await contract('12', 1_000);
  await k3.ask('/contracts', {
    KDAccount: accountSet,
    number: 'C-12',
    customer: '客户',
    amount: 1_000,
    signed_at: '永'.repeat(300),
  });
  await reconcile();
  expect(await found()).toEqual([
    ['call not decided', 'call X1', null, null],
    ['call not decided', 'call X1 ', null, null],
    ['call not decided', 'call x1', null, null],
    ['contract date in K3', 'contract C-12', '2026-11-01 10:00:00', '永'.repeat(200)],
  ]);
});

test('a text of a partner is cut to the column, a character of four bytes whole', async () => {
  await contract('12', 1_000);
  await k3.ask('/contracts', {
    KDAccount: accountSet,
    number: 'C-12',
    customer: '客户',
    amount: 1_000,
    signed_at: `${'永'.repeat(199)}😀😀`,
  });
  await reconcile();
  expect(await found()).toEqual([
    [...['contract date in K3', 'contract C-12', '2026-11-01 10:00:00'], `${'永'.repeat(199)}😀`],
  ]);
});

test('a refund that was refused and made again is no difference', async () => {
  await run(
    `insert into ${log} (id, refund_refused_of, user_id, amount_fen, state, created_at)
     values (820000000008, 820000000002, ?, -4000, 'refused', concat(?, ' 00:00:02'))`,
    [owner, today],
  );
  expect(await reconcile()).toMatchObject({ outcome: 'balanced' });
});
