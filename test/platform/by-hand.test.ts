import { expect, test } from 'vitest';
import * as z from 'zod';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { contextOf } from '../support/lambda.ts';

const Range = z.strictObject({ from: z.int(), to: z.int() });

test('the answer is the word, with the facts', async () => {
  const word = byHand(Range, async () => 'recorded');
  expect(await word({ from: 1, to: 2 }, contextOf())).toEqual({ outcome: 'recorded' });
  const facts = byHand(Range, async ({ from, to }) => ({ outcome: 'recorded', rows: to - from }));
  expect(await facts({ from: 1, to: 5 }, contextOf())).toEqual({ outcome: 'recorded', rows: 4 });
});

test('input of another form is refused by field, and nothing is done', async () => {
  let calls = 0;
  const handler = byHand(Range, async () => {
    calls += 1;
    return 'recorded';
  });
  await expect(handler({ from: 'one', to: 2 }, contextOf())).rejects.toThrow(
    /^The input is not valid: from: /,
  );
  await expect(handler({ from: 1, to: 2, too: 3 }, contextOf())).rejects.toThrow(/too/);
  await expect(handler(null, contextOf())).rejects.toThrow(/^The input is not valid: /);
  expect(calls).toBe(0);
});

test('a value that fits none of several forms is refused with its field and what the nearest form expected', async () => {
  const day = z.strictObject({ from: z.iso.date('Expected a day') });
  const event = z.looseObject({ source: z.literal('aws.events'), time: z.iso.datetime() });
  const id = z.union([z.int(), z.string().regex(/^\d+$/, 'Expected an id')]);
  const either = byHand(z.union([day, event]), async () => 'recorded');
  await expect(either({ from: '2026-02-30' }, contextOf())).rejects.toThrow(
    /^The input is not valid: from: Expected a day$/,
  );
  await expect(either({ source: 'aws.events', time: 'x' }, contextOf())).rejects.toThrow(
    /: time: /,
  );
  const inside = byHand(
    z.strictObject({ rows: z.array(z.strictObject({ id })) }),
    async () => 'recorded',
  );
  await expect(inside({ rows: [{ id: 'x' }] }, contextOf())).rejects.toThrow(
    /: rows\.0\.id: .*Expected an id/,
  );
  await expect(inside({ rows: [{ id: null }] }, contextOf())).rejects.toThrow(
    /: rows\.0\.id: .*number.*, or .*string/,
  );
});

test('work that is out of time says where to go on, and is done in the end', async () => {
  const done: number[] = [];
  const handler = byHand(Range, async ({ from, to }, { remaining, progress }) => {
    for (let at = from; at < to; at++) {
      if (remaining() < 1000 && at > from)
        return { outcome: 'unfinished', resume: { from: at, to } };
      done.push(at);
      progress(at - from + 1, to - from, 'counting');
    }
    return 'recorded';
  });
  const invocations: unknown[] = [];
  for (let input: unknown = { from: 0, to: 3 }; input !== undefined; ) {
    const answer = await handler(input, contextOf(500));
    invocations.push(answer.outcome);
    input = answer.resume;
  }
  expect(invocations).toEqual(['unfinished', 'unfinished', 'recorded']);
  expect(done).toEqual([0, 1, 2]);
});

test('an error gets out to the caller, masked', async () => {
  const handler = byHand(Range, async () => {
    throw new Error('no row for 13812345678');
  });
  await expect(handler({ from: 1, to: 2 }, contextOf())).rejects.toThrow('no row for 138****5678');
});
