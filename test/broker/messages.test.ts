import fc from 'fast-check';
import { expect, test } from 'vitest';
import { invalidations } from '../../lib/broker/invalidations.ts';
import { messagesFor } from '../../lib/broker/messages.ts';
import { sources } from '../../lib/broker/queues.ts';
import { isId } from '../../lib/platform/ids.ts';

const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index + 1));

test('changed ids are published in messages of a hundred, as updates of their source', () => {
  const ids = numbered(201);
  const message = (from: number, to: number) => ({
    destination: 'queue:broker/apply-event',
    body: JSON.stringify({ broker_ids: ids.slice(from, to).join(','), flag: 2, source: 100 }),
  });
  expect(messagesFor(sources.store, ids)).toEqual([
    message(0, 100),
    message(100, 200),
    message(200, 201),
  ]);
  expect(messagesFor(sources.store, ids.slice(0, 100))).toEqual([message(0, 100)]);
});

test('ids that no message may carry are left out, and nothing is published of nothing else', () => {
  expect(messagesFor(sources.base, ['0', '-1', '9223372036854775808', ''])).toEqual([]);
  expect(messagesFor(sources.base, [])).toEqual([]);
});

test('every usable id is in one message, in its order', () => {
  const ids = fc.array(fc.bigInt({ min: -2n, max: 5n }).map(String), { maxLength: 350 });
  fc.assert(
    fc.property(ids, (all) => {
      const lists = messagesFor(sources.company, all).map(({ body }) => {
        const { broker_ids } = JSON.parse(body) as { broker_ids: string };
        return broker_ids.split(',');
      });
      expect(lists.flat()).toEqual(all.filter(isId));
      for (const list of lists.slice(0, -1)) expect(list).toHaveLength(100);
    }),
  );
});

test('keys are forgotten at once and again after eight seconds, five hundred in a row', () => {
  const keys = numbered(501);
  const twice = (some: readonly string[]) => {
    const once = { destination: 'invalidate', body: JSON.stringify({ keys: some }) };
    return [once, { ...once, afterSeconds: 8 }];
  };
  expect(invalidations(keys)).toEqual([...twice(keys.slice(0, 500)), ...twice(['501'])]);
  expect(invalidations(keys.slice(0, 500))).toEqual(twice(keys.slice(0, 500)));
  expect(invalidations([])).toEqual([]);
});
