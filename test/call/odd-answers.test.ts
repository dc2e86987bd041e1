/**
 * Tests odd answers of partners: the answer's code, or one more query, decides what the partner did. A count or balance
 * that cannot be read is logged and leaves no row open. odd-books.test.ts covers tables, statements and K3's contracts.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { chargeCall } from '../../lib/call/charging/charge-call.ts';
import { listingService } from '../../lib/call/listings/listing-service.ts';
import { switchListings } from '../../lib/call/listings/switch-listings.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { ReconcileDays, reconcile } from '../../lib/call/reconciliation/reconcile.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { resumeReversals, reverseCharge } from '../../lib/call/settlement/reverse-charge.ts';
import { settleUnknownCharges } from '../../lib/call/settlement/settle-unknown-charges.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { partner } from '../../lib/platform/partners/partner.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { contract, owner, payment } from '../support/accounting.ts';
import { chargeStates, decidedCall, resetCalls } from '../support/calls.ts';
import { logged } from '../support/captured-logs.ts';
import { rowsOf, run } from '../support/databases.ts';
import { everyOddMessage } from '../support/odd-values.ts';

interface PartnerRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}
type Reply = Readonly<Record<string, unknown>> | { readonly status: number; readonly html: string };

/** A partner that answers with `reply`, and the requests that it received. */
let reply: (request: PartnerRequest) => Reply;
let requests: PartnerRequest[] = [];
const server = createServer(async (request, response) => {
  let text = '';
  for await (const part of request) text += String(part);
  const one = { path: request.url ?? '', body: text ? JSON.parse(text) : {} };
  requests.push(one);
  const answer = reply(one);
  if (!('html' in answer)) response.end(JSON.stringify(answer));
  else
    response.writeHead(Number(answer['status']), { 'content-type': 'text/html' }).end(answer.html);
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
afterAll(() => server.close());

const [db, calls] = [mysql<AccountingTables>('mysql'), mysql<CallTables>('mysql')];
const firstSwitchOff = async () => undefined;
const remaining = () => 600_000;
const centre = payments(
  async () => ({ payment_base_api_url: url, payment_api_timeout: 5_000 }),
  async () => paymentAccount,
);
const reversing = { mysql: db, payments: centre, firstSwitchOff };
const table = 'user_prop_db.sublessor_call_payment_log_201409';
const document = settings('call', CallSettings);
const unlimited = { chargesPerMinuteMax: 100_000, chargesPerMinutePerOwnerMax: 100_000 };
const charging = {
  mysql: calls,
  payments: centre,
  firstSwitchOff,
  settings: async () => ({ ...(await document()), ...unlimited }),
  deliver: async () => [],
  now: () => new Date(),
};
const settle = () => settleUnknownCharges({ ...charging, mysql: db as never }, { remaining });

beforeEach(async () => {
  await resetCalls();
  requests = [];
});

const valuesOf = (good: Readonly<Record<string, unknown>>, field: string) =>
  everyOddMessage(good)
    .filter((one) => one.field === field)
    .map(({ message }) => message);
const isOdd = (value: unknown) => !Number.isSafeInteger(value);
const switchMessages = async () =>
  (await rowsOf("select body from signalbox.outbox where destination like '%switch-listings'")).map(
    ({ body }) => JSON.parse(String(body)) as Record<string, unknown>,
  );
const reversal = async () =>
  (await rowsOf(`select state, balance_fen from ${table} where amount_fen < 0`))[0];
const failures = async (work: () => Promise<unknown>) =>
  (await logged(work, process.stderr)).map(({ message }) => message);

const deleteRows = () =>
  run(`delete from ${table}; delete from signalbox.outbox;
    delete from user_prop_db.sublessor_accounting_income_201409`);

let charges = 0;
const reverseOne = async () => {
  charges += 1;
  const payment_id = String(810_000_000_000 + charges);
  await payment({ id: payment_id, callLogId: null });
  return await reverseCharge(reversing, { payment_id, by: 'lena', why: 'odd' });
};

const done = { code: 0, state: 'done', balance: 5_000 };

/** Makes charges whose answers were lost and whose query is due. */
async function makeUnknownCharges(count: number): Promise<void> {
  reply = () => ({ status: 500, html: '' });
  for (let n = 0; n < count; n++) await chargeCall(charging, await decidedCall());
  await run(`update ${table} set ask_at = now(3) - interval 1 minute`);
}

/** Reconciles a day on which K3 has these contracts and two good ones. */
async function comparedWith(numbers: readonly string[]) {
  const day = String((await rowsOf('select current_date d'))[0]?.['d']);
  for (const [n, number] of ['good-1', ...numbers, 'good-2'].entries()) {
    await contract(String(n + 1), 9_000);
    await run('update user_prop_db.sublessor_contract set contract_no = ? where contract_id = ?', [
      number,
      n + 1,
    ]);
    await run(
      'update user_prop_db.sublessor_contract_posting set contract_no = ?, created_at = ? where contract_id = ?',
      [number, `${day} 00:00:00`, n + 1],
    );
  }
  const retry = { attemptsMax: 1, delayMs: 0 };
  await reconcile(
    {
      mysql: db,
      payments: centre,
      firstSwitchOff,
      k3: partner({ name: 'K3', baseUrl: url, timeoutMs: 5_000, retry }),
      settings: async () => ({ shadow: false }),
    },
    ReconcileDays.parse({ from: day }),
    { remaining, progress: () => {} },
  );
  const found = await rowsOf(
    'select kind, subject from user_prop_db.sublessor_difference order by subject',
  );
  const [{ missing } = {}] = await rowsOf(
    'select missing from user_prop_db.sublessor_reconciliation',
  );
  return { found: found.map(({ kind, subject }) => `${kind}: ${subject}`), missing };
}

const known = { success: true, customer: '客户', amount: 9_000, signed_at: '2026-11-01 10:00:00' };
const numberIn = (path: string) => decodeURIComponent(path.replace('/contracts/', ''));

const html = { status: 404, html: '<html>404 Not Found</html>' };
const numbers = Array.from({ length: 12 }, (_, n) => `C-${n}`);
/** Answers of K3 by the contract's number, and to the payment centre's statement that there is no trade. */
const inK3 = (answer: (number: string) => Reply) => {
  reply = ({ path }) =>
    path.startsWith('/statement') ? { code: 0, trades: [] } : answer(numberIn(path));
};

describe('odd answers of partners', () => {
  test('reverseCharge records the refund with the balance of one more query when the answer’s balance cannot be read', async () => {
    for (const odd of valuesOf({ code: 0, balance: 5_000 }, 'balance')) {
      await deleteRows();
      reply = ({ path, body }) =>
        path === '/trade/refund' ? { ...odd, trade_id: body['trade_id'] } : done;
      const balance = isOdd(odd['balance']) ? '5000' : String(odd['balance']);
      const lines = await failures(async () =>
        expect(await reverseOne(), JSON.stringify(odd)).toMatchObject({ outcome: 'reversed' }),
      );
      expect(await reversal()).toEqual({ state: 'charged', balance_fen: balance });
      expect(lines).toEqual(isOdd(odd['balance']) ? ['odd-answer'] : []);
      expect((await switchMessages()).map((one) => one['balance'])).toEqual(
        Number(balance) > 0 ? [Number(balance)] : [],
      );
    }
  });

  test('reverseCharge records the refund without a balance and switches no listings on when no answer has a readable balance', async () => {
    for (const odd of valuesOf(done, 'balance').filter(({ balance }) => isOdd(balance))) {
      await deleteRows();
      reply = ({ path, body }) =>
        path === '/trade/refund' ? { ...odd, trade_id: body['trade_id'] } : odd;
      expect(await reverseOne(), JSON.stringify(odd)).toMatchObject({ outcome: 'reversed' });
      expect(await reversal()).toEqual({ state: 'charged', balance_fen: null });
      expect(await switchMessages()).toEqual([]);
      expect(await resumeReversals(reversing, { remaining })).toBe(0);
    }
  });

  test('reverseCharge takes the result from a query about the trade when the refund’s answer cannot be read', async () => {
    const good = { code: 0, trade_id: 'x', balance: 5_000 };
    const odd = [...valuesOf(good, 'trade_id'), ...valuesOf({ ...good, trade_id: null }, 'code')];
    for (const answer of odd) {
      await deleteRows();
      reply = ({ path }) => (path === '/trade/refund' ? answer : done);
      expect(await reverseOne(), JSON.stringify(answer)).toMatchObject({ outcome: 'reversed' });
      expect(await reversal()).toEqual({ state: 'charged', balance_fen: '5000' });
    }
  });

  test('reverseCharge refuses the refund or leaves it open, as the trade’s query says, when the refund’s answer cannot be read', async () => {
    let state: Reply = { code: 0, state: 'refused' };
    reply = ({ path }) => (path === '/trade/refund' ? { status: 404, html: '<html>' } : state);
    expect(await reverseOne()).toMatchObject({ outcome: 'refused' });
    expect(await rowsOf(`select state, reason from ${table} where amount_fen < 0`)).toEqual([
      { state: 'refused', reason: 'reason unknown' },
    ]);
    for (state of [{ code: 4004 }, { code: '0' }, { status: 500, html: '' }]) {
      await deleteRows();
      expect(await reverseOne()).toMatchObject({ outcome: 'reversal-open' });
      expect(await reversal()).toMatchObject({ state: 'unknown' });
    }
  });

  test('resumeReversals resumes later reversals when more than one page of earlier ones never ends', async () => {
    const open = 101;
    for (let n = 0; n < open; n++) {
      const id = String(810_000_001_000 + n);
      await payment({ id, callLogId: null });
      await run(
        `insert into ${table} (reverses_id, user_id, amount_fen, call_type, state, ask_at, reason)
       values (?, ?, -4000, 1, 'unknown', '2026-11-20 10:00:00', 'odd')`,
        [id, owner],
      );
    }
    reply = () => ({ status: 500, html: '' });
    await resumeReversals(reversing, { remaining });
    await resumeReversals(reversing, { remaining });
    const refunds = requests.filter(({ path }) => path === '/trade/refund');
    expect(new Set(refunds.map(({ body }) => body['trade_id'])).size).toBe(open);
  });

  test('settleUnknownCharges charges a call after a query, with or without a balance, when the trade’s answer cannot be read', async () => {
    const good = { code: 0, trade_id: 'x', balance: 5_000 };
    const odd: Readonly<Record<string, unknown>>[] = [
      ...valuesOf(good, 'balance').map((one) => ({ ...one, trade_id: null })),
      ...valuesOf(good, 'trade_id'),
      ...valuesOf({ ...good, trade_id: null }, 'code'),
    ];
    for (const answer of odd) {
      const { trade_id: _, code: __, ...balance } = answer;
      reply = ({ path }) =>
        path === '/trade/deduct' ? answer : { ...balance, code: 0, state: 'done' };
      await chargeCall(charging, await decidedCall());
    }
    expect(await chargeStates()).toEqual(odd.map(() => ['unknown', null]));
    await run(`update ${table} set ask_at = now(3) - interval 1 minute`);
    await settle();
    const states = await chargeStates();
    expect(states.map(([state]) => state)).toEqual(odd.map(() => 'charged'));
  });

  test('settleUnknownCharges records a refusal when its reason cannot be read', async () => {
    await makeUnknownCharges(3);
    const odd = [{ code: '4001' }, { status: 404, html: '<html>' }, { code: 0, balance: null }];
    reply = ({ path, body }) =>
      path === '/trade/deduct'
        ? (odd[Number(body['trade_id']) - 820_000_000_000] ?? {})
        : { code: 0, state: 'refused' };
    await settle();
    expect(await chargeStates()).toEqual(odd.map(() => ['refused', null]));
    expect((await switchMessages()).map(({ why }) => why)).toEqual(odd.map(() => 'reason unknown'));
  });

  test('settleUnknownCharges ends all other lanes before it fails when one lane cannot read the switches', async () => {
    await makeUnknownCharges(8);
    let [reads, underWay] = [0, 0];
    const leftUnderWay: number[] = [];
    const firstUnreadable = async (...names: readonly string[]) => {
      if (names.length > 1) leftUnderWay.push(underWay);
      if (names.length > 1 || names[0] !== 'partner/payment') return undefined;
      reads += 1;
      if (reads === 2) throw new Error('The switches cannot be read.');
      return undefined;
    };
    const tradeOf: typeof centre.tradeOf = async (id) => {
      underWay += 1;
      const answer = await centre.tradeOf(id);
      underWay -= 1;
      return answer;
    };
    reply = () => done;
    const deps = { ...charging, payments: { ...centre, tradeOf }, firstSwitchOff: firstUnreadable };
    await expect(
      settleUnknownCharges({ ...deps, mysql: db as never }, { remaining }),
    ).rejects.toThrow(/1 failed: .*switches cannot be read/);
    expect(leftUnderWay).toEqual([0]);
    const states = (await chargeStates()).map(([state]) => state);
    expect(states.filter((state) => state === 'charged')).toHaveLength(7);
  });

  test('switchListings records the switch when the service’s count of listings cannot be read', async () => {
    const listings = listingService(async () => ({ listing_api_url: url }));
    const deps = { mysql: db, listings, firstSwitchOff, deliver: async () => [] };
    const id = '810000000900';
    await payment({ id, callLogId: null });
    for (const odd of valuesOf({ code: 0, listings: 3 }, 'listings')) {
      await run('delete from user_prop_db.sublessor_listings');
      reply = () => odd;
      const isCount = Number.isSafeInteger(odd['listings']) && Number(odd['listings']) >= 0;
      const message = { userId: owner, paymentId: id, why: 'balance is 0' } as const;
      const lines = await failures(async () =>
        expect(await switchListings(deps, message), JSON.stringify(odd)).toMatchObject({
          outcome: 'offline',
          userId: owner,
          listings: isCount ? odd['listings'] : undefined,
        }),
      );
      expect(lines).toEqual(isCount ? [] : ['odd-answer']);
      expect(
        await rowsOf('select state, request_done from user_prop_db.sublessor_listings'),
      ).toMatchObject([{ state: 'offline', request_done: 1 }]);
    }
  });

  test('reconcile names contracts and compares the others when K3 answers no JSON for many in a row', async () => {
    const odd = Array.from({ length: 12 }, (_, n) => `页/${n}?#`);
    reply = ({ path }) => {
      if (path.startsWith('/statement')) return { code: 0, trades: [] };
      const number = numberIn(path);
      return number.startsWith('good') ? { ...known, number } : { status: 404, html: '<html>' };
    };
    const { found, missing } = await comparedWith(odd);
    expect(missing).toBeNull();
    expect(found).toEqual(
      odd.map((number) => `contract not readable in K3: contract ${number}`).toSorted(),
    );
  });

  test('reconcile names a contract and does not ask K3 about it when its number cannot be part of a URL', async () => {
    reply = ({ path }) => {
      if (path.startsWith('/statement')) return { code: 0, trades: [] };
      return { ...known, number: numberIn(path) };
    };
    const { found, missing } = await comparedWith(['.', '..', '...', '%2e', 'a/../b', '\\', ' .']);
    expect(missing).toBeNull();
    expect(found).toEqual([
      'contract not readable in K3: contract .',
      'contract not readable in K3: contract ..',
    ]);
    expect(requests.filter(({ path }) => !path.startsWith('/statement'))).toHaveLength(7);
  });

  test('reconcile marks the part k3 as missing when K3 answers with 500', async () => {
    reply = ({ path }) => {
      if (path.startsWith('/statement')) return { code: 0, trades: [] };
      const number = numberIn(path);
      return number.startsWith('good') ? { ...known, number } : { status: 500, html: '<html>' };
    };
    const { found, missing } = await comparedWith(['odd']);
    expect({ found, missing }).toEqual({ found: [], missing: 'k3' });
  });

  test.each([
    ['a page with 404', () => html],
    ['a page with 200', () => ({ status: 200, html: '<html>maintenance</html>' })],
    ["a gateway's own JSON", () => ({ message: 'Forbidden' })],
    ['a page, or nothing', (number: string) => (number < 'C-5' ? html : { status: 502, html: '' })],
  ])(
    'reconcile decides nothing about contracts and names k3 as missing when K3 answers every contract with %s',
    async (_, answer) => {
      inK3(answer);
      expect(await comparedWith(numbers)).toEqual({ found: [], missing: 'k3' });
    },
  );

  test('reconcile decides nothing about contracts and names k3 as missing when pages start after the first answer and stay', async () => {
    const good = new Set<string>();
    inK3((number) => {
      if (good.size > 0) return html;
      good.add(number);
      return { ...known, number };
    });
    expect(await comparedWith(numbers)).toEqual({ found: [], missing: 'k3' });
  });

  test('reconcile asks again and compares contracts when K3 answered with a page for a short time', async () => {
    const seen = new Set<string>();
    inK3((number) => {
      const isFirst = !seen.has(number);
      seen.add(number);
      return isFirst && !number.startsWith('good') ? html : { ...known, number };
    });
    expect(await comparedWith(numbers)).toEqual({ found: [], missing: null });
  });

  test('reconcile lists a contract as a difference when K3 itself refuses it, even if it is the only one', async () => {
    inK3((number) =>
      number.startsWith('C-') ? { success: false, message: '单据不存在' } : { ...known, number },
    );
    expect(await comparedWith(['C-1'])).toEqual({
      found: ['contract not in K3: contract C-1'],
      missing: null,
    });
    await resetCalls();
    inK3(() => ({ success: false, message: '单据不存在' }));
    expect(await comparedWith(['C-1'])).toEqual({
      found: ['C-1', 'good-1', 'good-2'].map((number) => `contract not in K3: contract ${number}`),
      missing: null,
    });
  });
});
