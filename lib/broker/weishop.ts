import * as z from 'zod';
import { PartnerAway } from '../platform/errors.ts';
import type { Exchange } from '../platform/exchange.ts';
import { partner } from '../platform/http.ts';
import { mask } from '../platform/mask.ts';
import type { BrokerSettings } from './settings.ts';

/** What it is called in errors. */
export const partnerName = 'The micro-shop';
/** Ids of one question; the service takes no more. */
export const idsPerQuestionMax = 50;

const Shop = z.object({
  weidian_name: z.string().nullable(),
  wechat_name: z.string().nullable(),
  qrcode: z.string().nullable(),
});
type Shop = z.infer<typeof Shop>;

/** What is written in PHP answers an empty list for an object without fields. */
const Shops = z.union([z.record(z.string(), Shop), z.tuple([]).transform(() => ({}))]);
const Answer = z.discriminatedUnion('status', [
  z.object({ status: z.literal('ok'), data: Shops }),
  z.object({ status: z.literal('error'), msg: z.string() }),
]);

/** The micro-shops (微店) of these brokers; who has none is absent. Throws `PartnerAway` for all that is no good answer. */
export type Weishop = (ids: readonly string[]) => Promise<Readonly<Partial<Record<string, Shop>>>>;

/** Asks the micro-shop service, a GET that may be repeated. Its answer's fields that we do not know are left out. */
export function weishop(
  settings: () => Promise<Pick<BrokerSettings, 'broker_weidian_api'>>,
  exchange?: Exchange,
): Weishop {
  const baseUrl = async () => (await settings()).broker_weidian_api;
  const retry = { attemptsMax: 2, delayMs: 100 };
  const ask = partner({ name: partnerName, baseUrl, timeoutMs: 2_000, retry }, exchange);
  return async (ids) => {
    const answer = await ask({
      method: 'GET',
      path: '/mobile-ajk-broker/1.0/weshop/wechatNameInfo/',
      query: { broker_ids: ids.join(',') },
      answer: Answer,
    });
    if (answer.status === 'ok') return answer.data;
    throw new PartnerAway(partnerName, 'none', `it answered an error: ${mask(answer.msg)}`);
  };
}
