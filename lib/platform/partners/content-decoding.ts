/** Decodes bodies of HTTP responses. */
import {
  brotliDecompressSync,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  type ZlibOptions,
  zstdDecompressSync,
} from 'node:zlib';

type Decode = (body: Buffer, options: Pick<ZlibOptions, 'maxOutputLength'>) => Buffer;

const isGzip = (body: Buffer): boolean => body[0] === 0x1f && body[1] === 0x8b;

/** By what the body says, not the header: proxies decode a body and keep the header, or the other way round. */
const gunzipped: Decode = (body, options) => (isGzip(body) ? gunzipSync(body, options) : body);

/** The low four bits of a zlib header are 8; some servers leave that header out. */
const inflated: Decode = (body, options) =>
  ((body[0] ?? 0) & 0x0f) === 8 ? inflateSync(body, options) : inflateRawSync(body, options);

const decoders: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ['identity', (body) => body],
  ['gzip', gunzipped],
  ['x-gzip', gunzipped],
  ['deflate', inflated],
  ['br', (body, options) => brotliDecompressSync(body, options)],
  ['zstd', (body, options) => zstdDecompressSync(body, options)],
]);

/**
 * The body without its `content-encoding`, which partners and their proxies use without being asked. Throws where the
 * encoding is unknown, the body is damaged, or its content would be over `bytesMax`.
 */
export function decoded(body: Buffer, encoding: string, bytesMax: number): Buffer {
  if (!body.length) return body;
  const names = encoding
    .toLowerCase()
    .split(',')
    .map((name) => name.trim() || 'gzip');
  return names.reduceRight((content, name) => {
    const decode = decoders.get(name);
    if (!decode) throw new Error(`unknown content-encoding ${name}`);
    return decode(content, { maxOutputLength: bytesMax });
  }, body);
}

/** Text in UTF-8, or in what its byte-order mark says, without that mark. */
export function textIn(body: Buffer): string {
  const [first, second] = body;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(body);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(body);
  return new TextDecoder().decode(body);
}
