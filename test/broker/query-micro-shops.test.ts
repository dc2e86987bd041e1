import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import {
  idsPerQueryMax,
  type MicroShopClient,
  MicroShopRefused,
} from '../../lib/broker/apply/micro-shop-client.ts';
import { queryMicroShops } from '../../lib/broker/apply/query-micro-shops.ts';
import { PartnerUnavailable } from '../../lib/platform/errors.ts';

afterEach(() => void vi.restoreAllMocks());

const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index + 1));
const shopOf = (id: string) => ({
  weidian_name: `shop ${id}`,
  wechat_name: `name ${id}`,
  qrcode: `code ${id}`,
});
const answerOf = (id: string, weidian_asked_at: string) => ({
  weidian_name: `shop ${id}`,
  wechat_name: `name ${id}`,
  weidian_qrcode: `code ${id}`,
  weidian_asked_at,
});
const none = { weidian_name: null, wechat_name: null, weidian_qrcode: null };
const away = new PartnerUnavailable('The micro shop service', 'none', 'no answer');
const refused = () =>
  new MicroShopRefused('The micro shop service', 'none', 'it answered an error');

/** A service that leaves out the ids of `absent`, and fails a question in which one of `failing` is. */
function serviceOf({
  absent = [],
  wrong = [],
  failing = [],
  error = () => away,
}: {
  readonly absent?: readonly string[];
  readonly wrong?: readonly string[];
  readonly failing?: readonly string[];
  readonly error?: (ids: readonly string[]) => unknown;
} = {}) {
  const asked: (readonly string[])[] = [];
  let questions = 0;
  const microShopClient: MicroShopClient = async (ids) => {
    asked.push(ids);
    if (ids.some((id) => failing.includes(id))) throw error(ids);
    const there = ids.filter((id) => !absent.includes(id) && !wrong.includes(id));
    return {
      shops: new Map(there.map((id) => [id, shopOf(id)])),
      malformed: new Map(ids.filter((id) => wrong.includes(id)).map((id) => [id, new Error(id)])),
    };
  };
  const now = async () => `time ${++questions}`;
  return { asked, ask: (ids: readonly string[]) => queryMicroShops({ microShopClient, now }, ids) };
}

/** Lets this much time go by with each question. */
function questionsLast(ms: number): void {
  let now = 1_000;
  let first = true;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    if (!first) now += ms;
    first = false;
    return now;
  });
}

test('fifty are asked for at once, and stamped with the time before their question', async () => {
  const { asked, ask } = serviceOf();
  const ids = numbered(101);
  const { answers, malformed, failed, notAsked, cause } = await ask(ids);
  expect(asked).toEqual([ids.slice(0, 50), ids.slice(50, 100), ['101']]);
  expect([...answers]).toEqual(
    ids.map((id, index) => [id, answerOf(id, `time ${Math.floor(index / 50) + 1}`)]),
  );
  expect([[...malformed], failed, notAsked, cause]).toEqual([[], [], [], undefined]);
  expect(idsPerQueryMax).toBe(50);
});

test('nothing is asked for nobody', async () => {
  const { asked, ask } = serviceOf();
  expect((await ask([])).answers.size).toBe(0);
  expect(asked).toEqual([]);
});

test('an id that is left out is asked for once more, alone, and has no shop if it is left out again', async () => {
  const { asked, ask } = serviceOf({ absent: ['2', '52'] });
  const { answers } = await ask(numbered(52));
  expect(asked.slice(2)).toEqual([['2'], ['52']]);
  expect(answers.get('2')).toEqual({ ...none, weidian_asked_at: 'time 3' });
  expect(answers.get('52')).toEqual({ ...none, weidian_asked_at: 'time 4' });
});

test('an id that is left out among others and answered for alone has its shop', async () => {
  const asked: (readonly string[])[] = [];
  const microShopClient: MicroShopClient = async (ids) => {
    asked.push(ids);
    const there = ids.length === 1 ? ids : ids.filter((id) => id !== '2');
    return { shops: new Map(there.map((id) => [id, shopOf(id)])), malformed: new Map() };
  };
  const { answers } = await queryMicroShops(
    { microShopClient, now: async () => 'now' },
    numbered(3),
  );
  expect(answers.get('2')).toEqual(answerOf('2', 'now'));
  expect(asked).toEqual([numbered(3), ['2']]);
});

test('a record of another form is wrong, and keeps no other from being answered', async () => {
  const { asked, ask } = serviceOf({ wrong: ['2'] });
  const { answers, malformed, failed } = await ask(numbered(3));
  expect([[...answers.keys()], [...malformed], failed]).toEqual([
    ...[['1', '3'], [['2', new Error('2')]], []],
  ]);
  expect(asked).toHaveLength(1);
});

test('a question that gets no answer fails all its ids, and the others are asked for', async () => {
  const { asked, ask } = serviceOf({ failing: ['7'] });
  const ids = numbered(60);
  const { answers, failed, notAsked, cause } = await ask(ids);
  expect([failed, notAsked]).toEqual([ids.slice(0, 50), []]);
  expect([...answers.keys()]).toEqual(ids.slice(50));
  expect(cause).toBe(away);
  expect(asked).toHaveLength(2);
});

test('the cause is that of the first question that failed', async () => {
  const errors = [
    new PartnerUnavailable('x', 'none', 'first'),
    new PartnerUnavailable('x', 'none', 'second'),
  ];
  const { ask } = serviceOf({
    failing: ['1', '51'],
    error: ([first]) => errors[first === '1' ? 0 : 1],
  });
  expect((await ask(numbered(51))).cause).toBe(errors[0]);
});

test('a question that is refused is asked again in halves, until the id is alone', async () => {
  const { asked, ask } = serviceOf({ failing: ['4'], error: refused });
  const { answers, failed, cause } = await ask(numbered(5));
  expect(asked).toEqual([['1', '2', '3', '4', '5'], ['1', '2', '3'], ['4', '5'], ['4'], ['5']]);
  expect([failed, [...answers.keys()]]).toEqual([['4'], ['1', '2', '3', '5']]);
  expect(cause).toBeInstanceOf(MicroShopRefused);
});

test('no more than twelve questions are asked again in halves', async () => {
  const ids = numbered(50);
  const { asked, ask } = serviceOf({ failing: ids, error: refused });
  expect((await ask(ids)).failed.toSorted()).toEqual(ids.toSorted());
  expect(asked).toHaveLength(25);
});

test('after five failures no id is asked for alone', async () => {
  const absent = numbered(50);
  const failing = ['51', '52', '53', '54'];
  const four = serviceOf({ absent, failing });
  expect((await four.ask([...absent, ...failing])).notAsked).toEqual([]);
  const five = serviceOf({ absent, failing: [...failing, '55'] });
  const { failed, notAsked, answers } = await five.ask([...absent, ...failing, '55']);
  expect([failed, notAsked, answers.size]).toEqual([[...failing, '55'], absent, 0]);
});

test('of ids that are asked for alone those fail whose question fails', async () => {
  const microShopClient: MicroShopClient = async (ids) => {
    if (ids.length === 1 && ids[0] === '2') throw away;
    return { shops: new Map(), malformed: new Map() };
  };
  const { answers, failed, cause } = await queryMicroShops(
    { microShopClient, now: async () => 'now' },
    numbered(3),
  );
  expect([[...answers.keys()], failed, cause]).toEqual([['1', '3'], ['2'], away]);
});

test('five ids are asked for alone at a time', async () => {
  let running = 0;
  let most = 0;
  const microShopClient: MicroShopClient = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    return { shops: new Map(), malformed: new Map() };
  };
  const { answers } = await queryMicroShops(
    { microShopClient, now: async () => 'now' },
    numbered(20),
  );
  expect([answers.size, most]).toEqual([20, 5]);
});

test('when time is up nothing more is asked', async () => {
  questionsLast(6_001);
  const { asked, ask } = serviceOf();
  const ids = numbered(150);
  const { answers, failed, notAsked, cause } = await ask(ids);
  expect(asked).toEqual([ids.slice(0, 50)]);
  expect([answers.size, failed, notAsked]).toEqual([50, [], ids.slice(50)]);
  expect(cause).toMatchObject({
    effect: 'none',
    message: 'The micro shop service is unavailable: it takes too long',
  });
});

test('a question may begin at the very end of the time', async () => {
  questionsLast(6_000);
  const { asked, ask } = serviceOf();
  expect((await ask(numbered(150))).notAsked).toEqual(numbered(150).slice(100));
  expect(asked).toHaveLength(2);
});

test('when time is up no id is asked for alone', async () => {
  questionsLast(6_001);
  const { asked, ask } = serviceOf({ absent: ['1', '2'] });
  const { answers, notAsked, failed } = await ask(numbered(2));
  expect([answers.size, notAsked, failed]).toEqual([0, ['1', '2'], []]);
  expect(asked).toHaveLength(1);
});

test('time that is up is no cause where a question had failed before', async () => {
  questionsLast(6_001);
  const { ask } = serviceOf({ failing: ['1'] });
  const { failed, notAsked, cause } = await ask(numbered(100));
  expect([failed.length, notAsked.length, cause]).toEqual([50, 50, away]);
});

test.each([
  ['together', 1],
  ['alone', 2],
])('a fault of our own gets out of ids that are asked for %s', async (_, questions) => {
  let asked = 0;
  const microShopClient: MicroShopClient = async () => {
    asked += 1;
    if (asked >= questions) throw new Error('our own');
    return { shops: new Map(), malformed: new Map() };
  };
  const asking = queryMicroShops({ microShopClient, now: async () => 'now' }, numbered(50));
  await expect(asking).rejects.toThrow('our own');
  expect(asked).toBeLessThan(10);
});

test('a fault of our own is thrown only after the questions that had begun', async () => {
  const answered: string[] = [];
  let alone = 0;
  const microShopClient: MicroShopClient = async ([id = '', ...more]) => {
    if (more.length) return { shops: new Map(), malformed: new Map() };
    alone += 1;
    if (alone === 1) throw new Error('our own');
    await new Promise((done) => setTimeout(done, 5));
    answered.push(id);
    return { shops: new Map(), malformed: new Map() };
  };
  const asking = queryMicroShops({ microShopClient, now: async () => 'now' }, numbered(20));
  await expect(asking).rejects.toThrow('our own');
  expect(answered).toEqual(['2', '3', '4', '5']);
});

test('every id ends as one of answers, malformed, failed and notAsked, whatever the service does', async () => {
  const given = fc.integer({ min: 0, max: 120 }).chain((count) => {
    const ids = numbered(count);
    return fc.record({
      ids: fc.constant(ids),
      absent: fc.subarray(ids),
      wrong: fc.subarray(ids),
      failing: fc.subarray(ids, { maxLength: Math.min(3, count) }),
      refuses: fc.boolean(),
    });
  });
  await fc.assert(
    fc.asyncProperty(given, async ({ ids, refuses, ...service }) => {
      const { asked, ask } = serviceOf({ ...service, error: refuses ? refused : () => away });
      const { answers, malformed, failed, notAsked, cause } = await ask(ids);
      const all = [...answers.keys(), ...malformed.keys(), ...failed, ...notAsked];
      expect(all.toSorted()).toEqual(ids.toSorted());
      expect(cause === undefined).toBe(failed.length + notAsked.length === 0);
      for (const question of asked) expect(question.length).toBeLessThanOrEqual(50);
    }),
  );
});
