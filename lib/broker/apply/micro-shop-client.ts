import * as z from 'zod';
import { PartnerUnavailable } from '../../platform/errors.ts';
import { issuesOf } from '../../platform/lambda/config.ts';
import { mask } from '../../platform/lambda/mask.ts';
import type { Exchange } from '../../platform/partners/http-exchange.ts';
import { partner } from '../../platform/partners/partner.ts';
import type { BrokerSettings } from '../settings.ts';

/** What it is called in errors. */
export const partnerName = 'The micro-shop';
/** Ids of one question; the service takes no more. */
export const idsPerQuestionMax = 50;

/** A text that our column takes, which counts characters and not UTF-16 units. */
const textOf = (charactersMax: number) =>
  z
    .string()
    .refine((text) => text.isWellFormed(), 'Expected well-formed Unicode')
    .refine(
      (text) => Array.from(text).length <= charactersMax,
      `Expected at most ${charactersMax} characters`,
    )
    .nullable();

const Shop = z.object({
  weidian_name: textOf(255),
  wechat_name: textOf(255),
  qrcode: textOf(1_000),
});
type Shop = z.infer<typeof Shop>;

/** Each shop is read by itself. What is written in PHP answers an empty list for an object without fields. */
const Records = z.union([z.record(z.string(), z.unknown()), z.tuple([]).transform(() => ({}))]);
const Answer = z.discriminatedUnion('status', [
  z.object({ status: z.literal('ok'), data: Records }),
  z.object({ status: z.literal('error'), msg: z.string() }),
]);

/** It answered an error for these ids, perhaps for the sake of one of them. */
export class MicroShopRefused extends PartnerUnavailable {}

interface MicroShops {
  /** By the id of the broker; one without a shop is absent. */
  readonly shops: ReadonlyMap<string, Shop>;
  /** The records that are not of the form asked for, and what is wrong with each. */
  readonly malformed: ReadonlyMap<string, Error>;
}

/** The micro-shops (微店) of these brokers. Throws `PartnerUnavailable` for an answer that is not of the form asked for. */
export type MicroShopClient = (ids: readonly string[]) => Promise<MicroShops>;

/** Asks the micro-shop service, a GET that may be repeated. Its answer's fields that we do not know are left out. */
export function microShopClient(
  settings: () => Promise<Pick<BrokerSettings, 'broker_weidian_api'>>,
  exchange?: Exchange,
): MicroShopClient {
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
    if (answer.status === 'ok') return shopsIn(answer.data, ids);
    throw new MicroShopRefused(partnerName, 'none', `it answered an error: ${mask(answer.msg)}`);
  };
}

function shopsIn(records: Readonly<Record<string, unknown>>, ids: readonly string[]): MicroShops {
  const shops = new Map<string, Shop>();
  const wrong = new Map<string, Error>();
  for (const id of ids) {
    if (!Object.hasOwn(records, id)) continue;
    const { data, error } = Shop.safeParse(records[id]);
    if (data) shops.set(id, data);
    else wrong.set(id, new Error(`${partnerName}'s record of broker ${id}: ${issuesOf(error)}`));
  }
  return { shops, malformed: wrong };
}
