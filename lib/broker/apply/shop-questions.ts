import { PartnerUnavailable } from '../../platform/errors.ts';
import type { ProfileTables } from '../tables.ts';
import {
  idsPerQuestionMax,
  type MicroShopClient,
  partnerName,
  MicroShopRefused,
} from './micro-shop-client.ts';

const askedAtOnceMax = 5;
/** All questions of a message; they end before the function's time-out, so that what was answered is applied. */
const askingMsMax = 12_000;
/** Questions that are asked again in halves because the service refused them. */
const halvedMax = 12;
/** After so many of its questions failed no further id is asked for alone. */
const failedAloneMax = 5;

/** What the service said of a broker, and when it was asked. */
type ShopAnswer = Pick<
  ProfileTables['user_prop_db.broker_ext_profile'],
  'weidian_name' | 'wechat_name' | 'weidian_qrcode' | 'weidian_asked_at'
>;

/** The ids by what came of their questions. */
export interface MicroShopAnswers {
  /** Those that it answered for, the ones without a shop among them. */
  readonly answers: ReadonlyMap<string, ShopAnswer>;
  /** Those whose record is not of the form asked for. */
  readonly malformed: ReadonlyMap<string, Error>;
  /** Those whose question failed. */
  readonly failed: readonly string[];
  /** Those that were not asked for: time was up, or too many questions had failed. */
  readonly notAsked: readonly string[];
  /** Why; undefined where all were answered for. */
  readonly cause: PartnerUnavailable | undefined;
}

interface AskDeps {
  readonly weishop: MicroShopClient;
  /** Our database's clock. */
  readonly now: () => Promise<string>;
}

/** Asks for as many at once as the service takes; an id that is left out of an answer is asked for once more, alone. */
export async function queryMicroShops(deps: AskDeps, ids: readonly string[]): Promise<MicroShopAnswers> {
  const { weishop, now } = deps;
  const told = new Map<string, ShopAnswer>();
  const wrong = new Map<string, Error>();
  const failed: string[] = [];
  const unasked: string[] = [];
  const missing: string[] = [];
  let cause: PartnerUnavailable | undefined;
  let halved = 0;
  const end = performance.now() + askingMsMax;
  const tooLate = (some: readonly string[]): boolean => {
    if (performance.now() <= end) return false;
    unasked.push(...some);
    cause ??= new PartnerUnavailable(partnerName, 'none', 'it takes too long');
    return true;
  };

  for (let start = 0; start < ids.length; start += idsPerQuestionMax)
    await askTogether(ids.slice(start, start + idsPerQuestionMax));
  await inLanes(missing, askAlone);
  return { answers: told, malformed: wrong, failed, notAsked: unasked, cause };

  async function askTogether(some: readonly string[]): Promise<void> {
    if (tooLate(some)) return;
    const error = await ask(some, (id) => missing.push(id));
    if (!error) return;
    if (!(error instanceof MicroShopRefused) || some.length === 1 || halved >= halvedMax)
      return void failed.push(...some);
    halved += 1;
    const middle = Math.ceil(some.length / 2);
    await askTogether(some.slice(0, middle));
    await askTogether(some.slice(middle));
  }

  async function askAlone(id: string): Promise<void> {
    if (failed.length >= failedAloneMax) return void unasked.push(id);
    if (tooLate([id])) return;
    const none = { weidian_name: null, wechat_name: null, weidian_qrcode: null };
    const error = await ask([id], (absent, weidian_asked_at) => {
      told.set(absent, { ...none, weidian_asked_at });
    });
    if (error) failed.push(id);
  }

  async function ask(
    some: readonly string[],
    whenAbsent: (id: string, weidian_asked_at: string) => void,
  ): Promise<PartnerUnavailable | undefined> {
    const weidian_asked_at = await now();
    try {
      const answer = await weishop(some);
      for (const id of some) {
        const shop = answer.shops.get(id);
        const error = answer.malformed.get(id);
        if (error) wrong.set(id, error);
        else if (!shop) whenAbsent(id, weidian_asked_at);
        else {
          const { weidian_name, wechat_name, qrcode: weidian_qrcode } = shop;
          told.set(id, { weidian_name, wechat_name, weidian_qrcode, weidian_asked_at });
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

/** Works on several at once; after an error nothing more is begun, and what has begun is waited for. */
async function inLanes(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  const waiting = ids.values();
  const errors: unknown[] = [];
  const lane = async () => {
    for (const id of waiting) {
      if (errors.length) return;
      await work(id).catch((error) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: askedAtOnceMax }, lane));
  if (errors.length) throw errors[0];
}
