import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Refused } from '../../lib/platform/http/refusal.ts';
import type { RawRequest } from '../../lib/platform/http/request.ts';
import { signatureIn, signedHeaders, UpstreamKeys } from '../../lib/platform/http/signature.ts';
import { signatureFormats } from '../../lib/platform/http/signature-formats.ts';

const keys = { a: ['the newer secret of a', 'the older secret of a'], b: ['the secret of b ....'] };
const timestamp = 1_795_226_400;
const stamp = { timestamp, nonce: 'n-1' };
const request = { method: 'POST', target: '/publish?tunnel=x', body: '{"a":1}' };
const by = { key: 'a', secret: keys.a[0] ?? '' };

const rawOf = ({ method, target, body }: typeof request, headers: RawRequest['headers']) => ({
  method,
  target,
  headers,
  body: Buffer.from(body),
  at: new Date(0),
  sourceIp: '192.0.2.1',
});
const signedBy = (who = by, what = stamp) => signedHeaders(who, request, what);
const read = (headers: RawRequest['headers'], now = timestamp * 1000, given = request) =>
  signatureIn(rawOf(given, headers), keys, now);

function why(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Refused && error.refusal.code === 'unauthenticated') return error.message;
  }
  throw new Error('It was not refused.');
}
const wrong = 'The signature is not right.';
const incomplete = 'The headers of the signature are not complete.';
const untimely = 'The timestamp is not within five minutes of our clock.';

test('the text that is signed is the one that upstream systems know', () => {
  const known = { key: 'k', secret: 'the secret' };
  const what = { method: 'POST', target: '/publish?tunnel=broker_event', body: '{"a":1}' };
  expect(signedHeaders(known, what, stamp)).toEqual({
    'x-signalbox-key': 'k',
    'x-signalbox-timestamp': '1795226400',
    'x-signalbox-nonce': 'n-1',
    'x-signalbox-signature': '8230f1e3292553d4a64cb6b65dd9d064feec4c93f7ca0d5c7491f6788185536f',
  });
  const { body: _, ...bare } = what;
  expect(signedHeaders(known, bare, stamp)).toEqual(
    signedHeaders(known, { ...what, body: Buffer.alloc(0) }, stamp),
  );
});

test('a right signature says its key, timestamp and nonce, with either secret', () => {
  for (const secret of keys.a)
    expect(read(signedBy({ key: 'a', secret }))).toEqual({
      key: 'a',
      timestamp: '1795226400',
      nonce: 'n-1',
    });
  const headers = signedBy();
  const upper = headers['x-signalbox-signature']?.toUpperCase();
  expect(read({ ...headers, 'x-signalbox-signature': upper }).key).toBe('a');
});

test('without a time of its own the signature is held against our clock', () => {
  expect(why(() => signatureIn(rawOf(request, signedBy()), keys, 0))).toBe(untimely);
  const now = Math.floor(Date.now() / 1000);
  const headers = signedHeaders(by, request, { timestamp: now, nonce: 'n' });
  expect(signatureIn(rawOf(request, headers), keys).key).toBe('a');
});

test('a signature is of five minutes, before and after', () => {
  for (const ms of [300_000, -300_000])
    expect(read(signedBy(), timestamp * 1000 + ms).nonce).toBe('n-1');
  for (const ms of [300_001, -300_001])
    expect(why(() => read(signedBy(), timestamp * 1000 + ms))).toBe(untimely);
});

test.each([
  ['another method', { ...request, method: 'PUT' }],
  ['another target', { ...request, target: '/publish' }],
  ['another body', { ...request, body: '{"a":2}' }],
])('%s has another signature', (_, other) => {
  expect(why(() => read(signedBy(), undefined, other))).toBe(wrong);
});

test.each([
  ['an unknown key', { 'x-signalbox-key': 'c' }],
  ['a key that every object has', { 'x-signalbox-key': 'constructor' }],
  ['the key of another', { 'x-signalbox-key': 'b' }],
  ['another nonce', { 'x-signalbox-nonce': 'n-2' }],
  ['another timestamp', { 'x-signalbox-timestamp': '1795226401' }],
  ['another signature', { 'x-signalbox-signature': '0'.repeat(64) }],
])('%s: the answer does not say which keys there are', (_, changed) => {
  expect(why(() => read({ ...signedBy(), ...changed }))).toBe(wrong);
});

test.each(['key', 'timestamp', 'nonce', 'signature'] as const)('%s is needed', (name) => {
  const { [`x-signalbox-${name}`]: _, ...others } = signedBy();
  expect(why(() => read(others))).toBe(incomplete);
  expect(why(() => read({ ...others, [`x-signalbox-${name}`]: '' }))).toBe(incomplete);
});

const fits = (name: keyof typeof signatureFormats, text: string) =>
  signatureFormats[name].test(text);

test('a key is of 1 to 100 characters, a timestamp of 1 to 12 digits', () => {
  expect(['x', '\n', '王'.repeat(100)].map((text) => fits('key', text))).toEqual(
    Array(3).fill(true),
  );
  expect(['', 'x'.repeat(101)].map((text) => fits('key', text))).toEqual([false, false]);
  expect(['0', '9'.repeat(12)].map((text) => fits('timestamp', text))).toEqual([true, true]);
  for (const text of ['', '1'.repeat(13), '1x', 'x1', '-1', '1.5', '1\n'])
    expect([text, fits('timestamp', text)]).toEqual([text, false]);
});

test('a nonce holds no dot and no blank, so that the signed text can be taken apart', () => {
  expect(['A', 'z09_+/=:~-', 'x'.repeat(100)].map((text) => fits('nonce', text))).toEqual(
    Array(3).fill(true),
  );
  for (const text of ['', 'a.b', '.a', 'a.', 'a b', 'x'.repeat(101), '王', 'a\n'])
    expect([text, fits('nonce', text)]).toEqual([text, false]);
});

test('a signature is 64 digits of hex', () => {
  expect(['09afAF'.padEnd(64, '0'), 'f'.repeat(64)].map((text) => fits('signature', text))).toEqual(
    [...[true, true]],
  );
  for (const text of ['0'.repeat(63), '0'.repeat(65), 'g'.repeat(64), `${'0'.repeat(64)}\n`])
    expect([text, fits('signature', text)]).toEqual([text, false]);
});

test('the secret of upstream systems holds one or two secrets of 16 characters or more for each key', () => {
  const takes = (value: unknown) => UpstreamKeys.safeParse(value).success;
  const secret = 'x'.repeat(16);
  expect([{ a: [secret] }, { ['k'.repeat(100)]: [secret, secret] }].map(takes)).toEqual([
    true,
    true,
  ]);
  for (const value of [{ a: [] }, { a: [secret, secret, secret] }, { a: ['x'.repeat(15)] }])
    expect(takes(value)).toBe(false);
  for (const value of [{ '': [secret] }, { ['k'.repeat(101)]: [secret] }, { a: secret }])
    expect(takes(value)).toBe(false);
});

test('whatever is signed is let in, and nothing else is', () => {
  const unit = fc.constantFrom('a', '.', '\n', '可', '😀');
  const texts = fc.string({ unit, maxLength: 20 });
  const nonces = fc.stringMatching(/^[\w+/=:~-]{1,20}$/);
  fc.assert(
    fc.property(texts, texts, nonces, nonces, (body, other, nonce, otherNonce) => {
      const headers = signedHeaders(by, { ...request, body }, { timestamp, nonce });
      expect(read(headers, undefined, { ...request, body }).nonce).toBe(nonce);
      const same = Buffer.from(other).equals(Buffer.from(body));
      if (!same)
        expect(why(() => read(headers, undefined, { ...request, body: other }))).toBe(wrong);
      if (otherNonce !== nonce)
        expect(
          why(() =>
            read({ ...headers, 'x-signalbox-nonce': otherNonce }, undefined, { ...request, body }),
          ),
        ).toBe(wrong);
    }),
  );
});
