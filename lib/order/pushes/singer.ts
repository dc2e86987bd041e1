/** The client of the push service, which the order system calls Singer. */
import * as z from 'zod';
import { cutTo } from '../../platform/cut.ts';
import { type Exchange, pooledExchange } from '../../platform/partners/http-exchange.ts';
import { partner } from '../../platform/partners/partner.ts';

/** The body of a push request. Ids are numbers; beyond 2⁵³ they are decimal strings. */
export interface SingerPush {
  /** The idempotency key: Singer remembers it for 24 hours and shows a push once. */
  readonly push_id: string;
  readonly channel: string;
  readonly receiver: { readonly type: string; readonly id: number | string };
  readonly content: string;
  readonly order_id: number | string;
  readonly data?: unknown;
}

/** Longer message ids are cut, and other types are ignored: neither justifies sending the push again. */
const messageIdLengthMax = 100;
const shortText = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number'
    ? cutTo(String(value), messageIdLengthMax)
    : null;

const Answer = z.discriminatedUnion('code', [
  z.object({ code: z.literal(0), message_id: z.unknown().optional().transform(shortText) }),
  z.object({ code: z.literal(4101) }),
  z.object({ code: z.literal(5000) }),
]);

export type SingerAnswer =
  | { readonly kind: 'sent'; readonly messageId: string | null }
  | { readonly kind: 'unknown receiver' | 'later' };

/**
 * Sends one push. Throws `PartnerUnavailable` for every other response or none: the push may have been
 * sent then, unless the error's `effect` is `none`.
 */
export type Singer = (push: SingerPush) => Promise<SingerAnswer>;

/**
 * No retries here: if a retry failed without effect, its error would hide that the first request may
 * have been carried out. The caller retries and remembers that.
 */
const options = { name: 'Singer', timeoutMs: 4_000, retry: { attemptsMax: 1, delayMs: 0 } };

/** Returns a function that makes a client for a base URL. */
export function singerAt(exchange: Exchange = pooledExchange()): (baseUrl: string) => Singer {
  return (baseUrl) => {
    const request = partner({ ...options, baseUrl }, exchange);
    return async (push) => {
      const call = { method: 'POST', path: '/push', json: push, answer: Answer } as const;
      const answer = await request(call);
      switch (answer.code) {
        case 0:
          return { kind: 'sent', messageId: answer.message_id };
        case 4101:
          return { kind: 'unknown receiver' };
        case 5000:
          return { kind: 'later' };
      }
    };
  };
}
