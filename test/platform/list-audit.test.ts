import { beforeEach, expect, test } from 'vitest';
import { resetDatabases, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/list-audit.ts');

interface Entry {
  readonly id: string;
  readonly at: string;
  readonly who: string;
  readonly what: string;
  readonly why: string | null;
  readonly detail: unknown;
}

async function list(input: Readonly<Record<string, unknown>> = {}) {
  const { outcome, entries, before } = await handler(input, contextOf());
  expect(outcome).toBe('listed');
  return { entries: entries as readonly Entry[], before };
}

const whys = async (input: Readonly<Record<string, unknown>>) =>
  (await list(input)).entries.map(({ why }) => why);

const insert = (...rows: readonly (readonly (string | null)[])[]) =>
  run('insert into signalbox.audit (at, who, what, why, detail) values ?', [rows]);

beforeEach(resetDatabases);

const rows = [
  ['2026-11-20 10:00:00.000', 'lena', 'switch/off', 'first', '{"name": "charging"}'],
  ['2026-11-20 11:00:00.500', 'omar', 'switch/on', 'second', '{"name": "charging"}'],
  ['2026-11-21 10:00:00.000', 'lena', 'dead/redrive', 'third', '{"id": "broker/apply-event"}'],
  ['2026-11-22 10:00:00.000', 'lena', 'call/reverse', null, null],
];

test('the trail is listed newest first', async () => {
  await insert(...rows);
  const { entries, before } = await list();
  expect(entries.map(({ who, what }) => `${who} ${what}`)).toEqual([
    'lena call/reverse',
    'lena dead/redrive',
    'omar switch/on',
    'lena switch/off',
  ]);
  expect(entries.at(-1)).toMatchObject({
    at: '2026-11-20 10:00:00.000',
    why: 'first',
    detail: { name: 'charging' },
  });
  expect(entries[0]).toMatchObject({ why: null, detail: null });
  expect(before).toBeUndefined();
});

test.each([
  [{ since: '2026-11-20 11:00:00' }, [null, 'third', 'second']],
  [{ until: '2026-11-20 11:00:00' }, ['second', 'first']],
  [{ since: '2026-11-20T11:00:00+08:00', until: '2026-11-21 10:00:00' }, ['third', 'second']],
  [{ by: 'lena' }, [null, 'third', 'first']],
  [{ by: 'Lena' }, []],
  [{ what: 'switch/' }, ['second', 'first']],
  [{ what: 'switch/on' }, ['second']],
  [{ what: 's%' }, []],
  [{ about: 'broker/apply-event' }, ['third']],
  [{ about: 'con' }, ['second']],
  [{ about: 'charging', by: 'omar' }, ['second']],
])('%j filters', async (input, found) => {
  await insert(...rows);
  expect(await whys(input)).toEqual(found);
});

test('a page ends with the number with which the next begins', async () => {
  await insert(
    ...Array.from({ length: 5 }, (_, index) => [...(rows[0] ?? []).with(3, `${index}`)]),
  );
  const first = await list({ max: 2 });
  expect(first.entries.map(({ why }) => why)).toEqual(['4', '3']);
  const second = await list({ max: 2, before: first.before });
  expect(second.entries.map(({ why }) => why)).toEqual(['2', '1']);
  const last = await list({ max: 2, before: second.before });
  expect(last.entries.map(({ why }) => why)).toEqual(['0']);
  expect(last.before).toBeUndefined();
});

test('personal data is masked in reasons and details', async () => {
  await insert([
    ...(rows[0] ?? [])
      .with(3, 'the owner of 13812345678 asked')
      .with(4, '{"caller": "13812345678"}'),
  ]);
  const { entries } = await list();
  expect(entries).toMatchObject([
    { why: 'the owner of 138****5678 asked', detail: { caller: '138****5678' } },
  ]);
});

test('its sample event is taken', async () => {
  const sample = eventOf<Record<string, unknown>>('platform/list-audit', 'switches');
  expect(await list(sample)).toEqual({ entries: [] });
});

test.each([
  ['since', '2026-02-30 00:00:00'],
  ['max', 0],
  ['max', 201],
  ['before', 'x'],
  ['sql', 'select 1'],
])('a wrong %s (%s) is refused by name', async (field, value) => {
  await expect(handler({ [field]: value }, contextOf())).rejects.toThrow(
    new RegExp(`The input is not valid: .*${field}`),
  );
});
