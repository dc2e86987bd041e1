import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mask, maskedValue } from '../../lib/platform/mask.ts';

test.each([
  ['call from 13812345678.', 'call from 138****5678.'],
  ['+8613812345678 0086-13812345678 013812345678', '138****5678 138****5678 138****5678'],
  ['{"phone":"13812345678"}', '{"phone":"138****5678"}'],
  ['card 11010119900307123X', 'card 110101********123X'],
  ['https://api/x?access_token=abc_DEF&y=1', 'https://api/x?access_token=***&y=1'],
  [
    'https://s3/x?X-Amz-Signature=0ff&X-Amz-Credential=AK',
    'https://s3/x?X-Amz-Signature=***&X-Amz-Credential=***',
  ],
  [
    '1795238400000 12345678901 order 1381234567812',
    '1795238400000 12345678901 order 1381234567812',
  ],
])('%s', (text, masked) => {
  expect(mask(text)).toBe(masked);
});

test('no mobile number survives between any texts that do not lengthen it', () => {
  const digits = fc.stringMatching(/^1[3-9]\d{9}$/);
  const around = fc.stringMatching(/^[^0-9A-Za-z]{0,5}$/);
  fc.assert(
    fc.property(around, digits, around, (before, phone, after) => {
      expect(mask(before + phone + after)).not.toContain(phone);
    }),
  );
});

test('values under secret names and statements do not reach a log line', () => {
  const line = JSON.stringify(
    {
      password: 'p',
      accessToken: 't',
      openid: 'o',
      error: { sql: 'insert 13812345678', code: 'E' },
      n: 1,
    },
    maskedValue,
  );
  expect(JSON.parse(line)).toEqual({
    password: '***',
    accessToken: '***',
    openid: '***',
    error: { code: 'E' },
    n: 1,
  });
});
