import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mask, maskedValue } from '../../lib/platform/mask.ts';

const jsonWebToken = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvcGVyYXRvciJ9.c2lnbmVk';

test.each([
  ['call from 13812345678.', 'call from 138****5678.'],
  ['+8613812345678 0086-13812345678 013812345678', '138****5678 138****5678 138****5678'],
  ['138-1234-5678, 138 1234 5678, +86 138 1234 5678', '138****5678, 138****5678, 138****5678'],
  ['{"phone":"13812345678"}', '{"phone":"138****5678"}'],
  ['8613812345678, 86-13812345678', '138****5678, 138****5678'],
  ['+862162345678', '021****5678'],
  ['landline 02162345678, 075523456789', 'landline 021****5678, 0755****6789'],
  ['010-62345678 (010)62345678 0371-6234567', '010****5678 010****5678 0371****4567'],
  ['+86 10 6234 5678, 0086-21-62345678, 86-755-23456789', '010****5678, 021****5678, 0755****6789'],
  ["Duplicate entry '7-02162345678' for key", "Duplicate entry '7-021****5678' for key"],
  ['{"caller":"62345678","n":1}', '{"caller":"****5678","n":1}'],
  ['{"body":"{\\"callee\\":\\"62345678\\"}"}', '{"body":"{\\"callee\\":\\"****5678\\"}"}'],
  ['caller_digits: 2162345678', 'caller_digits: ****5678'],
  ['caller : 62345678, PHONE: 62345678', 'caller : ****5678, PHONE: ****5678'],
  ['card 11010119900307123X', 'card 110101********123X'],
  ['110101199012311234, 110101199011150019.', '110101********1234, 110101********0019.'],
  ['oABCD1234efgh_5678-ijklMNOPq', 'o****NOPq'],
  ['fan "o6_bmjrPTlm6_2sgVt7hMZOPfL2M"!', 'fan "o****fL2M"!'],
  ['fan oa_bmjrPTlm6_2sgVt7hMZOPfL2M', 'fan o****fL2M'],
  ['https://api/x?access_token=abc_DEF&y=1', 'https://api/x?access_token=***&y=1'],
  ['/token?appid=wx1&secret=abc&grant_type=x', '/token?appid=wx1&secret=***&grant_type=x'],
  ['?component_access_token=a1&refresh_token=b2', '?component_access_token=***&refresh_token=***'],
  [
    'https://s3/x?X-Amz-Signature=0ff&X-Amz-Credential=AK',
    'https://s3/x?X-Amz-Signature=***&X-Amz-Credential=***',
  ],
  ['accesstoken=abc&apikey=def&my-api_key=ghi', 'accesstoken=***&apikey=***&my-api_key=***'],
  ['phone=13812345678&password=hunter2', 'phone=138****5678&password=***'],
  ['{"password":"hunter2","n":1}', '{"password":"***","n":1}'],
  ['{"body":"{\\"new_password\\":\\"a b\\"}"}', '{"body":"{\\"new_password\\":\\"***\\"}"}'],
  ['{"apikey" : "k"}, {"my_api_key":"k"}', '{"apikey" : "***"}, {"my_api_key":"***"}'],
  ['{"access_token":"a","accessToken":"b"}', '{"access_token":"***","accessToken":"***"}'],
  ['cut off: {"password":"hunt', 'cut off: {"password":"***"'],
  ["{ access_token: 'abc', expires: 1 }", "{ access_token: '***', expires: 1 }"],
  ['Authorization: Bearer 0f1e2d3c4b5a6978', 'Authorization: Bearer ***'],
  ['Bearer  0f1e2d3c4b5a6978', 'Bearer  ***'],
  ['authorization: Basic b3BlcmF0b3I6cHc=', 'authorization: Basic ***'],
  [`jwt ${jsonWebToken} is over`, 'jwt eyJ*** is over'],
  ['mysql://signalbox:p4ss@10.0.0.1:3306/', 'mysql://signalbox:***@10.0.0.1:3306/'],
])('%s', (text, masked) => {
  expect(mask(text)).toBe(masked);
});

test.each([
  '1795238400000 12345678901 order 1381234567812',
  'took 0.13812345678 s, 13912345678.25 and 02162345678.25 units',
  '2b9f0c64-1381-4567-8901-138123456789',
  '05122345-6789-4123-8123-051223456789 2b9f0c64-0512-4123-8123-010223456789',
  '2b9f0c64-1381-4567-8901-013812345678 2b9f0c64-0138-1234-5678-0abc12345678',
  '2b9f0c64-1381-0567-0086-051223456789 2b9f0c64-0512-2345-6789-0abc12345678',
  '05122345-6789-4123-8123-0abc12345678 00860512-2345-6789-8123-0abc12345678',
  '110101199013311234, 1101011990113212345',
  'arn:aws:sqs:us-east-1:051234567890:signalbox-call, https://sqs/051234567890/signalbox-call',
  'on 2026-11-25 03:10:02.0371, after 0.03716234567 s',
  'sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  'message 820000000000123456 of 900719925474099312',
  'signalbox-order-push-something',
  'order-push-something-is-ther',
  'Unexpected token < in JSON at position 0',
  'Basic information and Bearer tokens are missing',
  'The secret signalbox/local/mysql cannot be read: create it as README says',
  'Root=1-5759e988-bd862e3fe1be46a994272793',
  'https://sqs.us-east-1.amazonaws.com/123456789012/signalbox-broker-apply-event',
  'http://127.0.0.1:4566/x?page=1&code=5000&assign=me',
])('%s stays as it is', (text) => {
  expect(mask(text)).toBe(text);
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

test('no landline number survives between any texts that do not lengthen it', () => {
  const digits = fc.stringMatching(/^0(10|2[0-9]|[3-9]\d{2})[2-8]\d{6,7}$/);
  const around = fc.stringMatching(/^[^0-9A-Za-z]{0,5}$/);
  fc.assert(
    fc.property(around, digits, around, (before, number, after) => {
      expect(mask(before + number + after)).not.toContain(number);
    }),
  );
});

test('no openid survives between any texts that do not lengthen it', () => {
  const openids = fc.stringMatching(/^o[A-Za-z0-9_-]{27}$/).filter((id) => /[A-Z0-9]/.test(id));
  const around = fc.stringMatching(/^[^\w-]{0,5}$/);
  fc.assert(
    fc.property(around, openids, around, (before, openid, after) => {
      expect(mask(before + openid + after)).not.toContain(openid);
    }),
  );
});

test('no password survives in JSON, as it is or in a text of JSON', () => {
  const printable = fc.stringMatching(/^[ -~]{6,30}$/);
  fc.assert(
    fc.property(printable, (password) => {
      expect(mask(JSON.stringify({ password, n: 2 }))).toBe('{"password":"***","n":2}');
    }),
  );
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9 !#$%&()*+,./:;<=>?@^_{|}~-]{6,30}$/), (password) => {
      const once = JSON.stringify({ user: 1, password, n: 2 });
      const twice = JSON.stringify({ body: once });
      expect(mask(once)).toBe('{"user":1,"password":"***","n":2}');
      expect(JSON.parse(mask(twice)).body).toBe('{"user":1,"password":"***","n":2}');
    }),
  );
});

test.each([
  ['20161210-0001-13812345678', '20161210-0001-138****5678'],
  ['1-0001-0002-0003-13812345678', '1-0001-0002-0003-138****5678'],
  ['1-0138-1234-5678-201612101712', '1-138****5678-201612101712'],
  ['20161210-0138-1234-5678-0001', '20161210-138****5678-0001'],
  ['13812345678-201612101712', '138****5678-201612101712'],
  ['20161210-0001-02162345678', '20161210-0001-021****5678'],
  ['1-0001-0002-02162345678', '1-0001-0002-021****5678'],
  ['1-0512-2345-6789-201612101712', '1-0512****6789-201612101712'],
  ['20161210-0512-2345-6789-0001', '20161210-0512****6789-0001'],
  ['02162345678-0001-201612101712', '021****5678-0001-201612101712'],
  ['05122345-6789-0001-0002-1', '0512****6789-0001-0002-1'],
])('a number in %s is masked, because a key of several parts is no UUID', (key, masked) => {
  expect(mask(key)).toBe(masked);
});

test('a UUID of digits stays as it is, at whatever place a number could begin in it', () => {
  const group = fc.stringMatching(/^(?:0086|0?1[3-9]\d|0[3-9]\d\d|0?10|02\d)?\d{12}$/);
  const uuids = fc
    .tuple(group, group, group, group, group)
    .map(([a, b, c, d, e]) =>
      [a.slice(0, 8), ...[b, c, d].map((text) => text.slice(0, 4)), e.slice(0, 12)].join('-'),
    );
  fc.assert(
    fc.property(uuids, (uuid) => {
      expect(mask(`at ${uuid}, ${uuid}`)).toBe(`at ${uuid}, ${uuid}`);
    }),
    { numRuns: 1000 },
  );
});

test('a number beside a UUID or a time is masked', () => {
  const uuid = '2b9f0c64-1381-4567-8901-138123456789';
  for (const whole of [uuid, '2026-11-25T03:10:02.123Z']) {
    expect(mask(`13812345678 ${whole}`)).toBe(`138****5678 ${whole}`);
    expect(mask(`${whole} 13812345678`)).toBe(`${whole} 138****5678`);
  }
  expect(mask('1234 13812345678 12.123Z')).toBe('1234 138****5678 12.123Z');
});

test('a UUID that looks like a parted number stays as it is', () => {
  const uuid = '00000000-0140-5564-8000-000000000000';
  expect(mask(uuid)).toBe(uuid);
});

test('UUIDs, hashes and ids stay as they are', () => {
  const hash = fc.stringMatching(/^[0-9a-f]{40}$|^[0-9a-f]{64}$/);
  const id = fc.bigInt({ min: 10n ** 11n, max: 10n ** 17n - 1n }).map(String);
  fc.assert(
    fc.property(fc.uuid(), hash, id, (uuid, hash, id) => {
      const text = `${uuid} ${hash}, ${id}`;
      expect(mask(text)).toBe(text);
    }),
    { numRuns: 1000 },
  );
});

test('a long text without secrets takes no longer than its length makes it', () => {
  for (const unit of ['token', 'a_', 'o', '"password":"', '138', 'eyJ', '://a:', 'Bearer ']) {
    const text = unit.repeat(50_000 / unit.length);
    const began = performance.now();
    mask(text);
    expect(performance.now() - began).toBeLessThan(2000);
  }
});

test('a number under the name of a telephone number is masked, whatever its form', () => {
  const line = { caller: '62345678', callee: 62_345_678, mobile: 2_162_345_678, phone: '95588' };
  expect(JSON.parse(JSON.stringify({ ...line, calls: 62_345_678 }, maskedValue))).toEqual({
    caller: '****5678',
    callee: '****5678',
    mobile: '****5678',
    phone: '****5588',
    calls: 62_345_678,
  });
  expect(maskedValue('callerDigits', '62345678')).toBe('****5678');
  expect(maskedValue('phone', '62345678 ext. 5')).toBe('****5678 ext. 5');
  const caller = 'upstream:call-centre-4001234';
  expect(JSON.parse(JSON.stringify({ caller }, maskedValue))).toEqual({ caller });
});

test('values under secret names, statements and numbers that telephones have do not reach a log line', () => {
  const line = JSON.stringify(
    {
      password: 'p',
      accessToken: 't',
      openid: 'o',
      mobile: 13_812_345_678,
      error: { sql: 'insert 13812345678', code: 'E' },
      n: 1,
    },
    maskedValue,
  );
  expect(JSON.parse(line)).toEqual({
    password: '***',
    accessToken: '***',
    openid: '***',
    mobile: '138****5678',
    error: { code: 'E' },
    n: 1,
  });
});

test('a time of a log line stays as it is, and a telephone number beside one does not', () => {
  fc.assert(
    fc.property(
      fc.date({ noInvalidDate: true, min: new Date('1970-01-01'), max: new Date('9999-12-31') }),
      (date) => {
        for (const time of [date.toISOString(), date.toISOString().replace('Z', '+08:00')]) {
          expect(mask(time)).toBe(time);
          expect(mask(`${time} 02162345678`)).toBe(`${time} 021****5678`);
        }
      },
    ),
  );
});

test.each(['pwd', 'api_key', 'apikey', 'identity_card', 'identityCard', 'PASSWORD'])(
  'a text under the name %s does not reach a log line',
  (key) => {
    expect(maskedValue(key, 'any')).toBe('***');
  },
);

test.each(['pwd_changed_at', 'has_pwd', 'phone_calls', 'headphone'])(
  'a number under %s stays as it is, because the name only contains another',
  (key) => {
    expect(maskedValue(key, '62345678')).toBe('62345678');
  },
);

test.each([null, undefined, true, []])(
  '%j under the name of a secret or a number stays',
  (value) => {
    expect(maskedValue('password', value)).toBe(value);
    expect(maskedValue('phone', value)).toBe(value);
  },
);
