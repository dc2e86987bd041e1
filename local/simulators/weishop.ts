/** Simulates the micro-shop (微店) service. */
import * as z from 'zod';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

const path = '/mobile-ajk-broker/1.0/weshop/wechatNameInfo/';
const idsPerQuestionMax = 50;

const Shop = z.strictObject({
  weidian_name: z.string(),
  wechat_name: z.string(),
  qrcode: z.string(),
});
type Shop = z.infer<typeof Shop>;

/** `POST /__shops`: sets shops by the id of their broker; null removes a shop. */
const Shops = z.record(z.string(), Shop.nullable());

/** `POST /__forget`: the next `times` answers for several brokers omit these brokers. */
const Forget = z.strictObject({ broker_ids: z.array(z.string()), times: z.int().positive() });

/** `POST /__records`: the value, of any form, that an answer contains for these brokers instead of a shop. */
const OddRecords = z.record(z.string(), z.unknown());

/** `POST /__refuse`: every request about one of these brokers is refused, even if it also concerns others. */
const RefuseFor = z.strictObject({ broker_ids: z.array(z.string()) });

/** Makes the micro-shop service: names and QR codes of brokers who have a shop. */
export const startWeishop = (port = 0): Promise<Simulator> => startSimulator(service(), port);

function service(): Partner {
  const shops = new Map<string, Shop>();
  const records = new Map<string, unknown>();
  let refusedIds: readonly string[] = [];
  const asked: string[][] = [];
  let forgotten: z.infer<typeof Forget> = { broker_ids: [], times: 0 };
  const gate = newGate();

  const answerFor = (ids: readonly string[]) => {
    const leavesOut = ids.length > 1 && forgotten.times > 0;
    if (leavesOut) forgotten = { ...forgotten, times: forgotten.times - 1 };
    const found = ids.flatMap((id) => {
      if (records.has(id)) return [[id, records.get(id)]];
      const shop = leavesOut && forgotten.broker_ids.includes(id) ? undefined : shops.get(id);
      return shop ? [[id, shop]] : [];
    });
    return { body: { status: 'ok', data: Object.fromEntries(found) } };
  };

  return {
    state: () => ({ shops: Object.fromEntries(shops), asked }),
    reset: () => {
      shops.clear();
      records.clear();
      refusedIds = [];
      asked.length = 0;
      forgotten = { broker_ids: [], times: 0 };
      gate.open();
    },
    refuse: () => error('system busy'),
    handle: async ({ method, path: named, query }) => {
      if (method !== 'GET' || named !== path) return undefined;
      const ids = (query.get('broker_ids') ?? '').split(',').filter(Boolean);
      asked.push(ids);
      if (!ids.length || ids.some((id) => !/^\d+$/.test(id))) return error('broker_ids invalid');
      if (ids.length > idsPerQuestionMax) return error('too many broker_ids');
      if (ids.some((id) => refusedIds.includes(id))) return error('system busy');
      const answer = answerFor(ids);
      await gate.pass();
      return answer;
    },
    controls: {
      '/__shops': (body) => {
        for (const [id, shop] of Object.entries(Shops.parse(body)))
          if (shop) shops.set(id, shop);
          else shops.delete(id);
      },
      '/__records': (body) => {
        for (const [id, record] of Object.entries(OddRecords.parse(body))) records.set(id, record);
      },
      '/__refuse': (body) => {
        refusedIds = RefuseFor.parse(body).broker_ids;
      },
      '/__forget': (body) => {
        forgotten = Forget.parse(body);
      },
      '/__hold': gate.close,
      '/__release': gate.open,
    },
  };
}

const error = (msg: string) => ({ body: { status: 'error', msg } });

/** `POST /__hold`: the next answer is computed, but not sent until `POST /__release`. */
function newGate() {
  let holds = false;
  let opened = Promise.withResolvers<void>();
  return {
    close: () => {
      holds = true;
      opened = Promise.withResolvers<void>();
    },
    open: () => opened.resolve(),
    pass: async () => {
      if (!holds) return;
      holds = false;
      await opened.promise;
    },
  };
}
