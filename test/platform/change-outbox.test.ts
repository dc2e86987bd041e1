import { beforeEach, expect, test } from 'vitest';
import { leaseDueRows } from '../../lib/platform/messaging/due-rows.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/change-outbox.ts');

const by = { by: 'lena', why: 'its queue is deployed again' };
const change = (input: Readonly<Record<string, unknown>>) =>
  handler({ ...by, ...input }, contextOf());

const outbox = () =>
  rowsOf('select id, version, due_at <= now(3) due, taken_until from signalbox.outbox order by id');
const trail = () => rowsOf('select who, what, why, detail from signalbox.audit order by id');
const to = 'queue:broker/apply-event';

/** 1 to 3 are refused, 4 of another destination is, 5 is late, 6 is held. */
beforeEach(async () => {
  await resetDatabases();
  await run(`insert into signalbox.outbox (id, destination, body, due_at, taken_until, held_by, attempts) values
    (1, '${to}', '1', now(3) + interval 1 minute, null, null, 3),
    (2, '${to}', '2', now(3) + interval 2 minute, due_at, null, 3),
    (3, '${to}', '3', now(3) + interval 3 minute, null, null, 3),
    (4, 'queue:a/b', '4', now(3) + interval 1 minute, null, null, 3),
    (5, '${to}', '5', now(3) - interval 1 hour, null, null, 0),
    (6, '${to}', '6', now(3) + interval 1 hour, null, 'charging', 0)`);
});

const idsOf = async () => (await outbox()).map(({ id }) => id);
const dueOf = async () => (await outbox()).filter(({ due }) => Number(due)).map(({ id }) => id);

test('a row is made due now in a new version, and the trail says who did it and why', async () => {
  expect(await change({ do: 'retry', id: '2' })).toEqual({
    outcome: 'due-now',
    rows: 1,
    more: false,
  });
  expect((await outbox())[1]).toEqual({ id: '2', version: 2, due: '1', taken_until: null });
  expect(await dueOf()).toEqual(['2', '5']);
  expect(await trail()).toEqual([
    { who: 'lena', what: 'outbox/retry', why: by.why, detail: { rows: 1, ids: ['2'] } },
  ]);
});

test('a row is dropped, and the trail says who did it and why', async () => {
  expect(await change({ do: 'drop', id: '2' })).toEqual({
    outcome: 'dropped',
    rows: 1,
    more: false,
  });
  expect(await idsOf()).toEqual(['1', '3', '4', '5', '6']);
  expect(await trail()).toEqual([
    { who: 'lena', what: 'outbox/drop', why: by.why, detail: { rows: 1, ids: ['2'] } },
  ]);
});

test('those of a destination that were refused are dropped, the earliest due first, and no others', async () => {
  expect(await change({ do: 'drop', to, max: 2 })).toEqual({
    outcome: 'dropped',
    rows: 2,
    more: true,
  });
  expect(await idsOf()).toEqual(['3', '4', '5', '6']);
  expect(await change({ do: 'drop', to, max: 2 })).toEqual({
    outcome: 'dropped',
    rows: 1,
    more: false,
  });
  expect(await idsOf()).toEqual(['4', '5', '6']);
  expect(await change({ do: 'drop', to })).toEqual({ outcome: 'dropped', rows: 0, more: false });
  expect((await trail()).map(({ detail }) => detail)).toEqual([
    { to, rows: 2, ids: ['1', '2'] },
    { to, rows: 1, ids: ['3'] },
  ]);
});

test('those of a destination that were refused are made due now, and no others', async () => {
  expect(await change({ do: 'retry', to })).toEqual({ outcome: 'due-now', rows: 3, more: false });
  expect(await dueOf()).toEqual(['1', '2', '3', '5']);
});

test('a row that is being sent is neither made due again nor counted as more, so that it is not sent twice', async () => {
  await change({ do: 'retry', to });
  const db = mysql<PlatformTables>('mysql');
  expect(await leaseDueRows(db, { kind: 'refused', destination: to }, 2)).toHaveLength(2);
  const before = await outbox();
  const nothing = { outcome: 'due-now', rows: 0, more: false };
  expect(await change({ do: 'retry', to })).toEqual(nothing);
  expect(await change({ do: 'retry', to, max: 1 })).toEqual(nothing);
  for (const id of ['1', '3', '5'])
    expect(await change({ do: 'retry', id })).toEqual({ outcome: 'already-due', rows: 0 });
  expect(await outbox()).toEqual(before);
});

test('a row that was being sent when it was dropped is said to be sent perhaps, and the trail says so, too', async () => {
  await change({ do: 'retry', to });
  const db = mysql<PlatformTables>('mysql');
  expect(await leaseDueRows(db, { kind: 'refused', destination: to }, 2)).toHaveLength(2);
  expect(await change({ do: 'drop', to })).toEqual({
    outcome: 'dropped',
    rows: 3,
    mayBeSent: 2,
    more: false,
  });
  expect((await trail()).at(-1)).toMatchObject({ detail: { to, rows: 3, mayBeSent: 2 } });
});

test('a dry run says how many rows it would be, and changes and notes nothing', async () => {
  const before = await outbox();
  expect(await change({ do: 'drop', to, dryRun: true })).toEqual({
    outcome: 'dry-run',
    rows: 3,
    more: false,
  });
  expect(await change({ do: 'retry', id: '1', dryRun: true })).toMatchObject({
    outcome: 'dry-run',
    rows: 1,
  });
  expect(await outbox()).toEqual(before);
  expect(await trail()).toEqual([]);
});

test('a row under a kill switch is not made due, but may be dropped', async () => {
  expect(await change({ do: 'retry', id: '6' })).toEqual({
    outcome: 'held',
    rows: 0,
    switch: 'charging',
  });
  expect([await dueOf(), await trail()]).toEqual([['5'], []]);
  expect(await change({ do: 'drop', id: '6' })).toMatchObject({ outcome: 'dropped', rows: 1 });
});

test('a row that is not there any more is said to be none', async () => {
  expect(await change({ do: 'drop', id: '7' })).toEqual({ outcome: 'no-such-row', rows: 0 });
  expect(await trail()).toEqual([]);
});

test.each(['retry', 'drop'])(
  'a crash at the audit trail leaves the rows as they were: %s',
  async (verb) => {
    const before = await outbox();
    await run(
      "create trigger signalbox.crash before insert on signalbox.audit for each row signal sqlstate '45000'",
    );
    try {
      await expect(change({ do: verb, to })).rejects.toThrow();
    } finally {
      await run('drop trigger signalbox.crash');
    }
    expect(await outbox()).toEqual(before);
  },
);

test.each(['retry', 'drop-refused'])('its sample event %s is taken', async (name) => {
  const sample = eventOf<Record<string, unknown>>('platform/change-outbox', name);
  expect(await change(sample)).toHaveProperty('outcome');
});

test.each([
  ['id', { do: 'drop' }],
  ['id', { do: 'drop', id: '1', to }],
  ['id', { do: 'drop', id: '1 or 1' }],
  ['id', { do: 'drop', id: '9999999999999999999' }],
  ['to', { do: 'drop', to: "x' or 1" }],
  ['do', { do: 'update', id: '1' }],
  ['why', { do: 'drop', id: '1', why: '' }],
  ['max', { do: 'drop', to, max: 1001 }],
])('a wrong %s is refused by name, and nothing is done: %j', async (field, input) => {
  await expect(change(input)).rejects.toThrow(`The input is not valid: ${field}: `);
  expect([(await idsOf()).length, await trail()]).toEqual([6, []]);
});
