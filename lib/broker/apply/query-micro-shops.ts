/** Queries the micro shop service for the brokers of a message, within limits of time and failures. */
import { PartnerUnavailable } from '../../platform/errors.ts';
import type { ProfileTables } from '../tables.ts';
import {
  idsPerQueryMax,
  type MicroShopClient,
  MicroShopRefused,
  partnerName,
} from './micro-shop-client.ts';

const concurrencyMax = 5;
/** The limit for all queries of a message. It ends before the function's time-out, so that answers can be applied. */
const queryingMsMax = 12_000;
/** How many refused queries of a message are split in halves and sent again. */
const splitsMax = 12;
/** After this many failed ids, no further id is queried alone. */
const failedMax = 5;

/** The service's answer for one broker, and the time of the query. */
type MicroShopAnswer = Pick<
  ProfileTables['user_prop_db.broker_ext_profile'],
  'weidian_name' | 'wechat_name' | 'weidian_qrcode' | 'weidian_asked_at'
>;

/** The ids of a message by the result of their query. */
export interface MicroShopAnswers {
  /** Ids with an answer, including brokers without a micro shop. */
  readonly answers: ReadonlyMap<string, MicroShopAnswer>;
  /** Ids whose record does not match the schema. */
  readonly malformed: ReadonlyMap<string, Error>;
  /** Ids whose query failed. */
  readonly failed: readonly string[];
  /** Ids that were not queried, because time was up or too many queries had failed. */
  readonly notAsked: readonly string[];
  /** The first error, or undefined if no id failed or was skipped. */
  readonly cause: PartnerUnavailable | undefined;
}

interface QueryDeps {
  readonly microShopClient: MicroShopClient;
  /** Returns the time of our database's clock. */
  readonly now: () => Promise<string>;
}

/** Queries ids in batches of the service's maximum. An id that is missing in an answer is queried once more, alone. */
export async function queryMicroShops(
  deps: QueryDeps,
  ids: readonly string[],
): Promise<MicroShopAnswers> {
  const { microShopClient, now } = deps;
  const answers = new Map<string, MicroShopAnswer>();
  const malformed = new Map<string, Error>();
  const failed: string[] = [];
  const notAsked: string[] = [];
  const missing: string[] = [];
  let cause: PartnerUnavailable | undefined;
  let splits = 0;
  const end = performance.now() + queryingMsMax;
  const skipIfLate = (some: readonly string[]): boolean => {
    if (performance.now() <= end) return false;
    notAsked.push(...some);
    cause ??= new PartnerUnavailable(partnerName, 'none', 'it takes too long');
    return true;
  };

  for (let start = 0; start < ids.length; start += idsPerQueryMax)
    await queryBatch(ids.slice(start, start + idsPerQueryMax));
  await inLanes(missing, queryAlone);
  return { answers, malformed, failed, notAsked, cause };

  async function queryBatch(batch: readonly string[]): Promise<void> {
    if (skipIfLate(batch)) return;
    const error = await query(batch, (id) => missing.push(id));
    if (!error) return;
    if (!(error instanceof MicroShopRefused) || batch.length === 1 || splits >= splitsMax)
      return void failed.push(...batch);
    splits += 1;
    const middle = Math.ceil(batch.length / 2);
    await queryBatch(batch.slice(0, middle));
    await queryBatch(batch.slice(middle));
  }

  async function queryAlone(id: string): Promise<void> {
    if (failed.length >= failedMax) return void notAsked.push(id);
    if (skipIfLate([id])) return;
    const noShop = { weidian_name: null, wechat_name: null, weidian_qrcode: null };
    const error = await query([id], (absent, weidian_asked_at) => {
      answers.set(absent, { ...noShop, weidian_asked_at });
    });
    if (error) failed.push(id);
  }

  async function query(
    batch: readonly string[],
    whenAbsent: (id: string, weidian_asked_at: string) => void,
  ): Promise<PartnerUnavailable | undefined> {
    const weidian_asked_at = await now();
    try {
      const answer = await microShopClient(batch);
      for (const id of batch) {
        const shop = answer.shops.get(id);
        const error = answer.malformed.get(id);
        if (error) malformed.set(id, error);
        else if (!shop) whenAbsent(id, weidian_asked_at);
        else {
          const { weidian_name, wechat_name, qrcode: weidian_qrcode } = shop;
          answers.set(id, { weidian_name, wechat_name, weidian_qrcode, weidian_asked_at });
        }
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof PartnerUnavailable)) throw error;
      cause ??= error;
      return error;
    }
  }
}

/** Runs `work` on several ids concurrently. After an error it starts no more, and waits for those that run. */
async function inLanes(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  const waiting = ids.values();
  const errors: unknown[] = [];
  const lane = async () => {
    for (const id of waiting) {
      if (errors.length) return;
      await work(id).catch((error) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: concurrencyMax }, lane));
  if (errors.length) throw errors[0];
}
