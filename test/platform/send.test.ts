import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { batchesOf, sender } from '../../lib/platform/messaging/send.ts';
import { take, testQueue } from '../support/queues.ts';

const texts = queue('test/say-text', z.object({ text: z.string() }));
const mebibyte = 1_048_576;
const entry = (bytes: number) => ({ MessageBody: 'x'.repeat(bytes) });

test('every message arrives, whatever their number', async () => {
  const url = await testQueue(texts);
  const all = Array.from({ length: 57 }, (_, index) => ({ text: `第${index}` }));
  await sender(texts)(all);
  const bodies = (await take(url)).map(({ Body = '' }) => JSON.parse(Body));
  expect(
    bodies.toSorted(
      (a, b) => all.findIndex((m) => m.text === a.text) - all.findIndex((m) => m.text === b.text),
    ),
  ).toEqual(all);
});

test('batches keep to ten messages and one mebibyte, lose nothing and keep the order', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: mebibyte }), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, (bytes) => {
      const entries = bytes.map(entry);
      const batches = batchesOf(entries, texts);
      expect(batches.flat()).toEqual([...entries.entries()]);
      for (const batch of batches) {
        expect(batch.length).toBeLessThanOrEqual(10);
        expect(
          batch.reduce((sum, [, { MessageBody }]) => sum + MessageBody.length, 0),
        ).toBeLessThanOrEqual(mebibyte);
      }
    }),
    { numRuns: 50 },
  );
});

test('one byte more than SQS takes is refused by name; Chinese counts as SQS counts it', () => {
  expect(batchesOf([entry(mebibyte)], texts)).toHaveLength(1);
  expect(() => batchesOf([entry(mebibyte + 1)], texts)).toThrow(
    'A message for test/say-text has 1048577 bytes; SQS takes 1048576.',
  );
  expect(() => batchesOf([{ MessageBody: '字'.repeat(349_526) }], texts)).toThrow('1048578 bytes');
});

test('a queue that is not there fails the call', async () => {
  await testQueue(texts);
  process.env['QUEUE_TEST_SAY_TEXT'] += '-gone';
  await expect(sender(texts)([{ text: 'a' }])).rejects.toThrow(/exist/);
});
