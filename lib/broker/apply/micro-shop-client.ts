/** HTTP client of the micro shop service (微店). */
import * as z from 'zod';
import { PartnerUnavailable } from '../../platform/errors.ts';
import { issuesOf } from '../../platform/issues.ts';
import { mask } from '../../platform/lambda/mask.ts';
import type { Exchange } from '../../platform/partners/http-exchange.ts';
import { partner } from '../../platform/partners/partner.ts';
import type { BrokerSettings } from '../settings.ts';

/** The service's name in errors. */
export const partnerName = 'The micro shop service';
/** The most ids that the service takes in one query. */
export const idsPerQueryMax = 50;

/** A text that fits into our column, whose limit counts characters and not UTF-16 units. */
const textOf = (charactersMax: number) =>
  z
    .string()
    .refine((text) => text.isWellFormed(), 'Expected well-formed Unicode')
    .refine(
      (text) => Array.from(text).length <= charactersMax,
      `Expected at most ${charactersMax} characters`,
    )
    .nullable();

const MicroShop = z.object({
  weidian_name: textOf(255),
  wechat_name: textOf(255),
  qrcode: textOf(1_000),
});
type MicroShop = z.infer<typeof MicroShop>;

/** The records stay unparsed here, to be parsed one by one. The service sends an empty object as `[]`, as PHP does. */
const Records = z.union([z.record(z.string(), z.unknown()), z.tuple([]).transform(() => ({}))]);
const Answer = z.discriminatedUnion('status', [
  z.object({ status: z.literal('ok'), data: Records }),
  z.object({ status: z.literal('error'), msg: z.string() }),
]);

/** The service answered a query with an error, perhaps because of one of its ids. */
export class MicroShopRefused extends PartnerUnavailable {}

interface MicroShops {
  /** By broker id; a broker without a micro shop is absent. */
  readonly shops: ReadonlyMap<string, MicroShop>;
  /** Records that do not match the schema, by broker id, each with its error. */
  readonly malformed: ReadonlyMap<string, Error>;
}

/** Returns the micro shops of these brokers. Throws `PartnerUnavailable` if the answer does not match the schema. */
export type MicroShopClient = (ids: readonly string[]) => Promise<MicroShops>;

/** Makes the client. Its request is a GET, which is retried. Unknown fields of the answer are ignored. */
export function microShopClient(
  settings: () => Promise<Pick<BrokerSettings, 'broker_weidian_api'>>,
  exchange?: Exchange,
): MicroShopClient {
  const baseUrl = async () => (await settings()).broker_weidian_api;
  const retry = { attemptsMax: 2, delayMs: 100 };
  const call = partner({ name: partnerName, baseUrl, timeoutMs: 2_000, retry }, exchange);
  return async (ids) => {
    const answer = await call({
      method: 'GET',
      path: '/mobile-ajk-broker/1.0/weshop/wechatNameInfo/',
      query: { broker_ids: ids.join(',') },
      answer: Answer,
    });
    if (answer.status === 'ok') return parseRecords(answer.data, ids);
    throw new MicroShopRefused(partnerName, 'none', `it answered an error: ${mask(answer.msg)}`);
  };
}

function parseRecords(
  records: Readonly<Record<string, unknown>>,
  ids: readonly string[],
): MicroShops {
  const shops = new Map<string, MicroShop>();
  const malformed = new Map<string, Error>();
  for (const id of ids) {
    if (!Object.hasOwn(records, id)) continue;
    const { data, error } = MicroShop.safeParse(records[id]);
    if (data) shops.set(id, data);
    else malformed.set(id, new Error(`Invalid micro shop of broker ${id}: ${issuesOf(error)}`));
  }
  return { shops, malformed };
}
