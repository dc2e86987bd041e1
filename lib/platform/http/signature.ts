/** Signs requests and checks the signatures of upstream systems. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { Refused } from './refusal.ts';
import type { RawRequest } from './request.ts';
import { signatureFormats, windowSeconds } from './signature-formats.ts';

/** The keys of upstream systems, `{"<key>": ["secret", "older secret"]}`. During a rotation both secrets are valid. */
export const UpstreamKeys = z.record(
  z.string().min(1).max(100),
  z.array(z.string().min(16)).min(1).max(2),
);
export type UpstreamKeys = z.infer<typeof UpstreamKeys>;

const Headers = z.object({
  'x-signalbox-key': z.string().regex(signatureFormats.key),
  'x-signalbox-timestamp': z.string().regex(signatureFormats.timestamp),
  'x-signalbox-nonce': z.string().regex(signatureFormats.nonce),
  'x-signalbox-signature': z.string().regex(signatureFormats.signature),
});

type Signed = Pick<RawRequest, 'method' | 'target' | 'body'>;

interface Stamp {
  /** The time of signing in Unix seconds. */
  readonly timestamp: string;
  readonly nonce: string;
}

/** Returns the signature of `timestamp.nonce.METHOD.path?query.sha256hex(body)`. */
function signatureOf(secret: string, { timestamp, nonce }: Stamp, request: Signed): Buffer {
  const { method, target, body } = request;
  const hash = createHash('sha256').update(body).digest('hex');
  const text = [timestamp, nonce, method, target, hash].join('.');
  return createHmac('sha256', secret).update(text).digest();
}

/** Returns the headers of a signed request; `target` is the path with its query string. */
export function signedHeaders(
  { key, secret }: { key: string; secret: string },
  { method, target, body = '' }: { method: string; target: string; body?: string | Buffer },
  { timestamp, nonce }: { timestamp: number; nonce: string },
): Record<string, string> {
  const stamp = { timestamp: String(timestamp), nonce };
  const signature = signatureOf(secret, stamp, { method, target, body: Buffer.from(body) });
  return {
    'x-signalbox-key': key,
    'x-signalbox-timestamp': stamp.timestamp,
    'x-signalbox-nonce': nonce,
    'x-signalbox-signature': signature.toString('hex'),
  };
}

/** The key that signed a request, and the stamp, which may be used only once. */
export interface Signature extends Stamp {
  readonly key: string;
}

/** Checks a signature. Throws `unauthenticated`, with a text that does not reveal which keys exist. */
export function signatureIn(request: RawRequest, keys: UpstreamKeys, now = Date.now()): Signature {
  const { data } = Headers.safeParse(request.headers);
  if (!data) throw new Refused('unauthenticated', 'The headers of the signature are not complete.');
  const key = data['x-signalbox-key'];
  const timestamp = data['x-signalbox-timestamp'];
  const stamp = { timestamp, nonce: data['x-signalbox-nonce'] };
  if (Math.abs(now / 1000 - Number(timestamp)) > windowSeconds)
    throw new Refused('unauthenticated', 'The timestamp is not within five minutes of our clock.');
  const given = Buffer.from(data['x-signalbox-signature'], 'hex');
  const matches = Object.entries(keys)
    .filter(([name]) => name === key)
    .flatMap(([, secrets]) => secrets)
    .filter((secret) => timingSafeEqual(given, signatureOf(secret, stamp, request)));
  if (!matches.length) throw new Refused('unauthenticated', 'The signature is not right.');
  return { key, ...stamp };
}
