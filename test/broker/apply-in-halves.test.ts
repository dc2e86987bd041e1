import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyInHalves } from '../../lib/broker/apply/apply-in-halves.ts';
import { Unavailable } from '../../lib/platform/errors.ts';

const numbered = (count: number) => Array.from({ length: count }, (_, index) => String(index + 1));

/** Applies ids, odd ones as present; throws where one of `wrong` is among them. */
function applying(wrong: ReadonlySet<string>, error: unknown = new Error('wrong')) {
  const applied: string[][] = [];
  const apply = async (ids: readonly string[]) => {
    applied.push([...ids]);
    if (ids.some((id) => wrong.has(id))) throw error;
    const present = ids.filter((id) => Number(id) % 2).length;
    return { present, deleted: ids.length - present };
  };
  return { applied, apply };
}

test('ids are applied together', async () => {
  const { applied, apply } = applying(new Set());
  expect(await applyInHalves(numbered(3), apply)).toEqual({ present: 2, deleted: 1, failures: [] });
  expect(applied).toEqual([['1', '2', '3']]);
  expect(await applyInHalves([], apply)).toEqual({ present: 0, deleted: 0, failures: [] });
});

test('where that fails each half is applied for itself, the first one being the larger', async () => {
  const error = new Error('wrong');
  const { applied, apply } = applying(new Set(['4']), error);
  expect(await applyInHalves(numbered(5), apply)).toEqual({
    ...{ present: 3, deleted: 1, failures: [{ id: '4', error }] },
  });
  expect(applied).toEqual([['1', '2', '3', '4', '5'], ['1', '2', '3'], ['4', '5'], ['4'], ['5']]);
});

test('each id that cannot be applied is told, and all others are applied once', async () => {
  const given = fc.integer({ min: 1, max: 40 }).chain((count) => {
    const ids = numbered(count);
    return fc.tuple(fc.constant(ids), fc.subarray(ids));
  });
  await fc.assert(
    fc.asyncProperty(given, async ([ids, wrong]) => {
      const { applied, apply } = applying(new Set(wrong));
      const { present, deleted, failures } = await applyInHalves(ids, apply);
      expect(failures.map(({ id }) => id)).toEqual(wrong);
      const right = ids.filter((id) => !wrong.includes(id));
      expect([present, deleted]).toEqual([
        right.filter((id) => Number(id) % 2).length,
        right.filter((id) => Number(id) % 2 === 0).length,
      ]);
      expect(applied.filter((part) => !part.some((id) => wrong.includes(id))).flat()).toEqual(
        right,
      );
    }),
  );
});

test.each([
  ['a database that is away', new Unavailable('away')],
  ['what is no error', 'a text'],
])('%s fails all of them at once', async (_, error) => {
  const { applied, apply } = applying(new Set(['1']), error);
  await expect(applyInHalves(numbered(4), apply)).rejects.toBe(error);
  expect(applied).toHaveLength(1);
});
