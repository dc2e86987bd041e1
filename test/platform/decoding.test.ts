import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decoded, textIn } from '../../lib/platform/decoding.ts';

const content = Buffer.from('{"said":"可以"}');
const bytesMax = 1_000;
const read = (body: Buffer, encoding: string) => decoded(body, encoding, bytesMax);

const encoders: readonly [string, (body: Buffer) => Buffer][] = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
];

test.each(encoders)('%s is decoded, up to so many bytes', (encoding, encode) => {
  expect(read(encode(content), encoding)).toEqual(content);
  expect(read(encode(Buffer.alloc(bytesMax)), encoding)).toHaveLength(bytesMax);
  expect(() => read(encode(Buffer.alloc(bytesMax + 1)), encoding)).toThrow(RangeError);
});

test('an encoding that is not told is none, or gzip where the body says so', () => {
  for (const encoding of ['', ' ', 'identity', 'gzip', 'x-gzip', 'GZIP', 'identity, gzip'])
    expect(read(content, encoding)).toEqual(content);
  for (const encoding of ['', 'Gzip', ' gzip ', 'identity,gzip', 'gzip , identity', 'gzip,'])
    expect(read(gzipSync(content), encoding)).toEqual(content);
  expect(read(gzipSync(content), 'identity')).toEqual(gzipSync(content));
});

test.each([
  [0x1f, 0x61],
  [0x61, 0x8b],
])('a body that begins with the bytes %i and %i is not in gzip', (...bytes) => {
  expect(read(Buffer.from(bytes), 'gzip')).toEqual(Buffer.from(bytes));
});

test('encodings are undone from the last to the first', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes): Buffer => Buffer.from(bytes)),
      fc.array(fc.constantFrom(...encoders), { minLength: 1, maxLength: 4 }),
      (body, chosen) => {
        fc.pre(!(body[0] === 0x1f && body[1] === 0x8b));
        const sent = chosen.reduce<Buffer>((bytes, [, encode]) => encode(bytes), body);
        expect(read(sent, chosen.map(([name]) => name).join(', '))).toEqual(body);
      },
    ),
  );
});

test('an empty body is empty, whatever is said of it', () => {
  for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'unknown'])
    expect(read(Buffer.alloc(0), encoding)).toEqual(Buffer.alloc(0));
});

test.each(['compress', 'gzip, rot13', 'constructor', '__proto__'])(
  'the encoding %s is unknown',
  (encoding) => {
    const name = encoding.split(' ').at(-1);
    expect(() => read(content, encoding)).toThrow(`unknown content-encoding ${name}`);
  },
);

test.each(['deflate', 'br', 'zstd'])('a body that is not in %s is damaged', (encoding) => {
  expect(() => read(content, encoding)).toThrow();
  expect(() => read(gzipSync(Buffer.alloc(0)), `${encoding}, gzip`)).toThrow();
});

test('a text is in UTF-8, or in what its byte-order mark says', () => {
  const littleEndian = Buffer.from('\ufeff可以', 'utf16le');
  expect(textIn(Buffer.from('可以'))).toBe('可以');
  expect(textIn(Buffer.from('\ufeff可以'))).toBe('可以');
  expect(textIn(littleEndian)).toBe('可以');
  expect(textIn(Buffer.from(littleEndian).swap16())).toBe('可以');
});

test.each([
  [[0xff, 0x61], '\ufffda'],
  [[0x61, 0xfe], 'a\ufffd'],
  [[0xfe, 0x61], '\ufffda'],
  [[0x61, 0xff], 'a\ufffd'],
  [[], ''],
])('half of a byte-order mark is none: %j', (bytes, text) => {
  expect(textIn(Buffer.from(bytes))).toBe(text);
});
