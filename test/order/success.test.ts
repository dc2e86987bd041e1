import { expect, test } from 'vitest';
import { failureOf, successOf } from '../../lib/order/success.ts';

const at = '2026-11-20 10:00:00';
const { operate } = successOf({ receiver_type: 'nurse', receiver_id: '1', scenario: 8 }, at);

test.each([
  ['patient', '98', { userId: 98 }],
  ['patient', '9007199254740993', { userId: '9007199254740993' }],
  ['patient', null, { userId: null }],
  ['nurse', '55', { nurseId: 55 }],
  ['nurse', null, { nurseId: null }],
  ['nurses', '3', { nurseId: null }],
])(
  'a push to a %s of id %j is logged with its receiver',
  (receiver_type, receiver_id, receiver) => {
    const push = { receiver_type, receiver_id, scenario: 8 };
    const success = successOf(push, at);
    expect(success).toEqual({ ...receiver, operate, successTime: at });
    expect(Object.keys(success)).toEqual([...Object.keys(receiver), 'operate', 'successTime']);
    expect(failureOf(push, at, 'x')).toEqual({
      ...receiver,
      operate,
      failureTime: at,
      reason: 'x',
    });
  },
);
