import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { beforeEach, describe, expect, test } from 'vitest';
import { evaluateRules } from '../../lib/call/filtering/filter-rules.ts';
import { callLog, contract, owner, payment } from '../support/accounting.ts';
import { resetDatabases, run } from '../support/databases.ts';
import { ask, refused } from '../support/http.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { workerServers } from '../support/started.ts';

const { handler } = await import('../../functions/call/explain-call.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const { support, operator } = (await workerServers()).tokens;
const id = '820000000001';
const event = (token = support): APIGatewayProxyEventV2 => ({
  ...eventOf<APIGatewayProxyEventV2>('call/explain-call', 'charged'),
  headers: { authorization: `Bearer ${token}` },
});

/** Inserts a call with its decision, as call/filter-call does. */
async function insertDecidedCall(durationSeconds: number): Promise<void> {
  const decision = evaluateRules(
    { status: 1, durationSeconds, startedAt: '2026-11-20 09:58:00' },
    { connectedBeforeAt: '2026-11-19 09:57:59', validAfterAt: null, isBroker: true },
    { durationSeconds: 8, apartSeconds: 86_400 },
  );
  await callLog(id, decision.filterRule);
  await run('update user_prop_db.sublessor_call_log_201409 set decision = ?, duration = ?', [
    JSON.stringify(decision),
    durationSeconds,
  ]);
}

beforeEach(resetDatabases);

/** Inserts a call with its decision into the shadow log only, as call/filter-call does in shadow mode. */
async function insertShadowCall(compared: string | null): Promise<void> {
  const decision = evaluateRules(
    { status: 1, durationSeconds: 8, startedAt: '2026-11-20 09:58:00' },
    { connectedBeforeAt: null, validAfterAt: null, isBroker: false },
    { durationSeconds: 8, apartSeconds: 86_400 },
  );
  await run(
    `insert into user_prop_db.call_shadow_log
      (id, call_id, user_id, caller, callee, status, started_at, duration, filter_rule, caller_digits,
       decided_at, decision, compared)
     values (?, ?, ?, '13900000001', '4008001234', 1, '2026-11-20 09:58:00', 8, 3, '13900000001',
       '2026-11-20 10:00:00', ?, ?)`,
    [1, `call-${id}`, owner, JSON.stringify(decision), compared],
  );
}
const tooShort = { input: { durationSeconds: 8, limitSeconds: 8 }, outcome: 'applies' };

describe('call/explain-call', () => {
  describe('happy path', () => {
    test('call/explain-call answers every rule with its input and outcome, and masks the numbers, when the call was decided', async () => {
      await insertDecidedCall(8);
      const { status, body } = await ask(handler, event());
      expect(status).toBe(200);
      expect(body).toMatchObject({
        call_id: `call-${id}`,
        user_id: owner,
        caller: '139****0001',
        callee: '400****1234',
        filter_rule: 3,
        charge: null,
        reversal: null,
        income: [],
        listings: null,
      });
      expect(body.rules).toEqual([
        { rule: 2, name: 'notConnected', input: { status: 1 }, outcome: 'does not apply' },
        {
          rule: 3,
          name: 'tooShort',
          outcome: 'applies',
          input: { durationSeconds: 8, limitSeconds: 8 },
        },
        {
          rule: 4,
          name: 'calledBefore',
          outcome: 'does not apply',
          input: {
            startedAt: '2026-11-20 09:58:00',
            connectedBeforeAt: '2026-11-19 09:57:59',
            validAfterAt: null,
            apartSeconds: 86_400,
          },
        },
        { rule: 5, name: 'broker', input: { isBroker: true }, outcome: 'applies' },
      ]);
    });

    test('call/explain-call answers the charge with its times, its reversal, income and listings when the call was charged', async () => {
      await callLog(id);
      await contract('11', 3_000);
      await payment({ id });
      await payment({ id: '820000000002', callLogId: null, amountFen: -4_000 });
      await run(`update user_prop_db.sublessor_call_payment_log_201409
    set reverses_id = ${id}, state = 'sent' where id = 820000000002`);
      await run(`insert into user_prop_db.sublessor_listings (user_id, state, since, cause, cause_payment_id)
    values (${owner}, 'offline', '2026-11-20 10:00:01', 'balance is 0', ${id})`);
      await postIncome(eventOf('call/post-income', 'minute'), contextOf());
      const { body } = await ask(handler, event());
      expect(body).toMatchObject({
        charge: { payment_id: id, amount_fen: 4_000, state: 'charged' },
        reversal: { payment_id: '820000000002', amount_fen: -4_000, state: 'sent' },
        income: [
          { payment_id: id, contract_no: 'C-11', amount_fen: 3_000 },
          { payment_id: id, contract_no: null, amount_fen: 1_000 },
        ],
        listings: { state: 'offline', cause: 'balance is 0', payment_id: id },
      });
      expect(body.charge.sent_at).toBe('2026-11-20 10:00:00.000');
    });

    test('call/explain-call answers only which rule applied when the call was imported', async () => {
      await callLog(id, 4);
      const { body } = await ask(handler, event());
      expect(body.rules.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
        'not known',
        'not known',
        'applies',
        'not known',
      ]);
    });

    test('call/explain-call answers the decision of shadow mode when the old system does not have the call', async () => {
      await insertShadowCall(null);
      await payment({ id, callLogId: '1' }); // Of another call, which has the same id in the real log.
      const { status, body } = await ask(handler, event());
      expect(status).toBe(200);
      expect(body).toMatchObject({ filter_rule: 3, charge: null, income: [], user_id: owner });
      expect(body.rules[1]).toMatchObject(tooShort);
      expect(body.shadow).toMatchObject({ filter_rule: 3, compared: null });
    });

    test('call/explain-call answers both decisions when shadow mode and the old system have decided the call', async () => {
      await callLog(id, 1);
      await insertShadowCall('differs');
      const { body } = await ask(handler, event());
      expect(body).toMatchObject({
        filter_rule: 1,
        shadow: { filter_rule: 3, compared: 'differs' },
      });
      expect(body.shadow.rules[1]).toMatchObject(tooShort);
      expect(body.rules[1]).toMatchObject({ outcome: 'not known' });
    });
  });

  describe('refused', () => {
    test('call/explain-call refuses when the call is unknown, or the caller is not of support or has no token', async () => {
      expect(await refused(handler, event())).toEqual([404, 'not_found']);
      expect(await refused(handler, event(operator))).toEqual([403, 'forbidden']);
      expect(await refused(handler, { ...event(), headers: {} })).toEqual([401, 'unauthenticated']);
    });
  });
});
