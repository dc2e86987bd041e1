import * as z from 'zod';
import { cutTo } from '../../platform/cut.ts';
import { type Exchange, pooledExchange } from '../../platform/partners/http-exchange.ts';
import { partner } from '../../platform/partners/partner.ts';

/** What the push service shows to somebody; ids are numbers, beyond 2⁵³ decimal strings. */
export interface SingerPush {
  /** It remembers this for 24 hours: the same again in that time sends nothing again. */
  readonly push_id: string;
  readonly channel: string;
  readonly receiver: { readonly type: string; readonly id: number | string };
  readonly content: string;
  readonly order_id: number | string;
  readonly data?: unknown;
}

/** Longer than any that it should have; what is longer, or no text, is no reason to ask again. */
const messageIdLengthMax = 100;
const shortText = (given: unknown): string | null =>
  typeof given === 'string' || typeof given === 'number'
    ? cutTo(String(given), messageIdLengthMax)
    : null;

const Answer = z.discriminatedUnion('code', [
  z.object({ code: z.literal(0), message_id: z.unknown().optional().transform(shortText) }),
  z.object({ code: z.literal(4101) }),
  z.object({ code: z.literal(5000) }),
]);

export type SingerAnswer =
  | { readonly said: 'sent'; readonly messageId: string | null }
  | { readonly said: 'unknown receiver' | 'later' };

/**
 * Throws `PartnerUnavailable` for all else: the push may have been sent then, unless its `effect` is
 * `none`.
 */
export type Singer = (push: SingerPush) => Promise<SingerAnswer>;

/**
 * Each request is sent once: of two that are taken for one, the second's failure would hide that
 * the first may have come about. Whoever calls tries again later, with what it knows of both.
 */
const options = { name: 'Singer', timeoutMs: 4_000, retry: { attemptsMax: 1, delayMs: 0 } };

/** The client of the push service that the order system calls Singer, by its address. */
export function singerAt(exchange: Exchange = pooledExchange()): (baseUrl: string) => Singer {
  return (baseUrl) => {
    const ask = partner({ ...options, baseUrl }, exchange);
    return async (push) => {
      const call = { method: 'POST', path: '/push', json: push, answer: Answer } as const;
      const answer = await ask(call);
      switch (answer.code) {
        case 0:
          return { said: 'sent', messageId: answer.message_id };
        case 4101:
          return { said: 'unknown receiver' };
        case 5000:
          return { said: 'later' };
      }
    };
  };
}
