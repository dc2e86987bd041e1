import { expect, test } from 'vitest';
import { Refused, refusal, refusalStatuses } from '../../lib/platform/http/refusal.ts';

test('a refusal has the status of its code, and its words as outcome', () => {
  expect(refusal('too_many_requests', 'Wait.')).toEqual({
    code: 'too_many_requests',
    outcome: 'too-many-requests',
    status: 429,
    headers: {},
    body: { error: { code: 'too_many_requests', message: 'Wait.' } },
  });
});

test('a refusal says what is wrong with each field, and when to try again', () => {
  const issues = [{ path: 'ids', message: 'Expected ids' }];
  const details = { issues, retryAfterSeconds: 0, outcome: 'failed' } as const;
  expect(refusal('invalid_body', 'No.', details)).toEqual({
    code: 'invalid_body',
    outcome: 'failed',
    status: 400,
    headers: { 'retry-after': '0' },
    body: { error: { code: 'invalid_body', message: 'No.', issues } },
  });
});

test('a refusal that is thrown is the same refusal', () => {
  const error = new Refused('sold_out', 'None is left.', { retryAfterSeconds: 7 });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'Refused', message: 'None is left.' });
  expect(error.refusal).toEqual(refusal('sold_out', 'None is left.', { retryAfterSeconds: 7 }));
});

test('every code has a status of an error', () => {
  for (const status of Object.values(refusalStatuses)) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
  }
});
