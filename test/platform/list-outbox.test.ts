import { beforeEach, expect, test } from 'vitest';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/list-outbox.ts');

interface Row {
  readonly id: string;
  readonly state: string;
  readonly body: string;
}

async function list(input: Readonly<Record<string, unknown>> = {}) {
  const { outcome, rows, more } = await handler(input, contextOf());
  expect(outcome).toBe('listed');
  return { rows: rows as readonly Row[], more };
}

const statesOf = ({ rows }: { readonly rows: readonly Row[] }) =>
  Object.fromEntries(rows.map(({ state, body }) => [body, state]));

beforeEach(async () => {
  await resetDatabases();
  await run(`insert into signalbox.outbox
    (destination, body, due_at, taken_until, held_by, attempts, reason, created_at) values
    ('queue:a/b', '"refused"', now(3) + interval 9 minute, null, null, 3, 'it has 2 MiB', now(3) - interval 1 hour),
    ('queue:a/c', '"late"', now(3) - interval 2 minute, null, null, 0, null, now(3) - interval 1 hour),
    ('event:a/b', '"due"', now(3) - interval 2 second, null, null, 0, null, now(3) - interval 1 hour),
    ('invalidate', '"waiting"', now(3) + interval 1 hour, null, null, 0, null, now(3) - interval 1 hour),
    ('queue:a/b', '"held"', now(3) - interval 1 hour, null, 'charging', 0, null, now(3) - interval 1 hour)`);
  await run(`insert into signalbox.outbox
    (destination, body, due_at, taken_until, created_at) values
    ('queue:a/b', '"taken"', now(3) + interval 20 second, due_at, now(3) - interval 1 hour),
    ('queue:a/b', '"new"', now(3) + interval 20 second, due_at, now(3) - interval 2 second)`);
});

test('what was refused, is late, or was taken and not sent is listed, the earliest due first', async () => {
  const { rows, more } = await list();
  expect(rows.map(({ state }) => state)).toEqual(['late', 'taken', 'refused']);
  expect(more).toBe(false);
  expect(rows.at(-1)).toMatchObject({
    destination: 'queue:a/b',
    attempts: 3,
    reason: 'it has 2 MiB',
    switch: null,
    body: '"refused"',
  });
});

test('every row has one state when all are asked for', async () => {
  expect(statesOf(await list({ all: true }))).toEqual({
    '"refused"': 'refused',
    '"late"': 'late',
    '"due"': 'waiting',
    '"waiting"': 'waiting',
    '"held"': 'held',
    '"taken"': 'taken',
    '"new"': 'waiting',
  });
});

test('one destination is listed, and no more rows than were asked for', async () => {
  expect(statesOf(await list({ to: 'queue:a/c' }))).toEqual({ '"late"': 'late' });
  const { rows, more } = await list({ max: 2 });
  expect([rows.length, more]).toEqual([2, true]);
  const whole = await list({ max: 3 });
  expect([whole.rows.length, whole.more]).toEqual([3, false]);
});

test('bodies and reasons are masked, long ones cut, and very long ones counted', async () => {
  await resetDatabases();
  await run(`insert into signalbox.outbox (destination, body, due_at, attempts, reason) values ?`, [
    [
      ['queue:a/b', '{"caller":"13812345678"}', '2026-11-20 10:00:00', 1, 'of 13812345678'],
      ['queue:a/b', '13812345678 {', '2026-11-20 10:00:01', 1, null],
      ['queue:a/b', JSON.stringify('x'.repeat(1000)), '2026-11-20 10:00:02', 1, null],
      ['queue:a/b', 'x'.repeat(70_000), '2026-11-20 10:00:03', 1, null],
    ],
  ]);
  const { rows } = await list();
  expect(rows.map(({ body }) => body)).toEqual([
    '{"caller":"138****5678"}',
    '138****5678 {',
    `"${'x'.repeat(199)}`,
    '70000 bytes',
  ]);
  expect(rows[0]).toMatchObject({ reason: 'of 138****5678' });
});

test('its sample event is taken', async () => {
  const sample = eventOf<Record<string, unknown>>('platform/list-outbox', 'queue');
  expect(await list(sample)).toEqual({ rows: [], more: false });
});

test.each([
  ['to', 'select 1'],
  ['max', 0],
  ['sql', 'select 1'],
])('a wrong %s (%s) is refused by name', async (field, value) => {
  await expect(handler({ [field]: value }, contextOf())).rejects.toThrow(
    new RegExp(`The input is not valid: .*${field}`),
  );
});

/** Adds rows of other destinations, or of one: `set` are columns with their SQL. */
async function flood(rows: number, set: Readonly<Record<string, string>>): Promise<void> {
  const columns = Object.keys(set).join(', ');
  const digits =
    '(select 0 n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)';
  await run(`insert into signalbox.outbox (${columns})
    select ${Object.values(set).join(', ')} from
      (select a.n + 10 * b.n + 100 * c.n + 1000 * d.n n
       from ${digits} a, ${digits} b, ${digits} c, ${digits} d) numbers where n < ${rows}`);
}

const manyEach = 5_000;
const hourAgo = 'now(3) - interval 1 hour';

test.each([
  [{}, ['late']],
  [{ max: 1 }, ['late']],
  [{ to: 'queue:a/c' }, ['late']],
  [{ to: 'queue:none/such' }, []],
  [{ all: true, to: 'queue:a/b', max: 200 }, ['refused', 'held', 'taken', 'waiting']],
])('%j reads a full outbox no further than the rows it lists', async (input, states) => {
  const destination = "concat('queue:test/flooded-', n % 5)";
  const row = { destination, body: "'{}'", created_at: hourAgo };
  await flood(manyEach, { ...row, due_at: 'now(3) + interval 2 hour + interval n second' });
  await flood(manyEach, { ...row, due_at: `${hourAgo} + interval n second` });
  await flood(manyEach, {
    ...row,
    due_at: 'now(3) + interval n second',
    attempts: '1',
    reason: "'x'",
  });
  await flood(manyEach, { ...row, due_at: hourAgo, held_by: "'charging'" });
  const before = await rowsRead();
  const { rows } = await list(input);
  expect((await rowsRead()) - before).toBeLessThan(4_000);
  for (const state of states) expect(rows.map((one) => one.state)).toContain(state);
  if (!states.length) expect(rows).toEqual([]);
});

async function rowsRead(): Promise<number> {
  const [row] = await rowsOf("show global status like 'Innodb_rows_read'");
  return Number(row?.['Value']);
}
