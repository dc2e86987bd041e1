import { expect, test } from 'vitest';
import { type OrderChange, pushFor } from '../../lib/order/pushes/new-push.ts';

const change: OrderChange = {
  pushId: 'a'.repeat(64),
  order_id: '7001',
  patient_id: '98',
  nurse_id: '55',
  before: 'PENDING_ACCEPT',
  after: 'PENDING_SERVICE',
  by: 'nurse',
  changedAt: new Date('2016-12-10T17:12:46.224+08:00'),
};

test('a nurse accepts: the patient hears of it, and which nurse it is', () => {
  expect(pushFor(change)).toEqual({
    push_id: 'a'.repeat(64),
    order_id: '7001',
    scenario: 8,
    receiver_type: 'patient',
    receiver_id: '98',
    channel: 'wechat',
    content: '您的订单已接单，点击查看订单详情。',
    data: '{"nurse_id":55}',
    status_after: 'PENDING_SERVICE',
    changed_at: '2016-12-10 17:12:46.224',
    late_from: '2016-12-10 17:12:46.224',
    state: 'unsent',
  });
});

test('the id of a nurse beyond 2^53 keeps every digit', () => {
  expect(pushFor({ ...change, nurse_id: '9223372036854775807' })).toMatchObject({
    data: '{"nurse_id":"9223372036854775807"}',
  });
});

test('a change that no scenario names causes no push', () => {
  expect(pushFor({ ...change, by: 'system' })).toBe('no scenario');
  expect(pushFor({ ...change, before: 'PENDING_SERVICE' })).toBe('no scenario');
});

const paid = { ...change, before: 'PAYING', after: 'PENDING_ACCEPT', by: 'patient' };

test('an order that is paid: its nurse, or without one all who may accept it', () => {
  expect(pushFor(paid)).toMatchObject({
    ...{ scenario: 2, receiver_type: 'nurse', receiver_id: '55', channel: 'app', data: null },
    state: 'unsent',
  });
  expect(pushFor({ ...paid, nurse_id: null })).toMatchObject({
    ...{ receiver_type: 'nurse_group', receiver_id: '7001', state: 'unsent' },
  });
});

test.each([
  { scenario: 6, before: 'IN_SERVICE', after: 'REFUND_REQUESTED', by: 'patient' },
  { scenario: 7, before: 'DISPUTE', after: 'IN_SERVICE', by: 'patient' },
  { scenario: 14, before: 'IN_SERVICE', after: 'SERVICE_OVERTIME', by: 'system' },
])('scenario $scenario without a nurse has no receiver', ({ scenario, ...by }) => {
  expect(pushFor({ ...change, ...by })).toMatchObject({
    ...{ scenario, receiver_type: 'nurse', receiver_id: '55', state: 'unsent' },
  });
  expect(pushFor({ ...change, ...by, nurse_id: null })).toMatchObject({
    ...{ scenario, receiver_id: null, state: 'no receiver' },
  });
});

test('a patient is notified with or without a nurse', () => {
  const cancelled = { before: 'PAYING', after: 'CANCELLED', by: 'system', nurse_id: null };
  expect(pushFor({ ...change, ...cancelled })).toMatchObject({
    ...{ scenario: 1, receiver_type: 'patient', receiver_id: '98', state: 'unsent' },
  });
});

const hears = (row: Partial<OrderChange>) => {
  const push = pushFor({ ...paid, ...row });
  if (push === 'no scenario') throw new Error('There is no push.');
  const { receiver_type, receiver_id, state, reason } = push;
  return [receiver_type, receiver_id, state, reason];
};

test.each([
  [{ nurse_id: '0' }, ['nurse_group', '7001', 'unsent', undefined]],
  [{ nurse_id: '-5' }, ['nurse_group', '7001', 'unsent', undefined]],
  [{ nurse_id: '9223372036854775808' }, ['nurse_group', '7001', 'unsent', undefined]],
])('an order that is paid with the nurse %j is heard of by %j', (row, expected) => {
  expect(hears(row)).toEqual(expected);
});

test.each([
  [null, undefined],
  ['0', '"0" is not a valid patient id.'],
  ['-98', '"-98" is not a valid patient id.'],
  ['9'.repeat(41), `"${'9'.repeat(40)}" is not a valid patient id.`],
])(
  'with the patient %j nobody hears, and it is said why unless there is none: %s',
  (patient_id, reason) => {
    const row = { ...change, patient_id };
    const push = pushFor(row);
    expect(push).toMatchObject({
      receiver_type: 'patient',
      receiver_id: null,
      state: 'no receiver',
    });
    expect(Object(push).reason).toBe(reason);
  },
);

test.each([
  [null, undefined],
  ['-1', '"-1" is not a valid nurse id.'],
])(
  'a service that takes too long with the nurse %j: no receiver, and whose id it is said to be',
  (nurse_id, reason) => {
    const late = { before: 'IN_SERVICE', after: 'SERVICE_OVERTIME', by: 'system' };
    const push = pushFor({ ...change, ...late, nurse_id, patient_id: '98' });
    expect(push).toMatchObject({ receiver_type: 'nurse', receiver_id: null, state: 'no receiver' });
    expect(Object(push).reason).toBe(reason);
  },
);

test('who is told that no nurse has accepted is told of none', () => {
  expect(pushFor({ ...change, nurse_id: null })).toMatchObject({
    ...{ data: '{"nurse_id":null}', state: 'unsent' },
  });
});
