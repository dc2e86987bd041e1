import { beforeEach, expect, test } from 'vitest';
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { orderSwitches } from '../../lib/order/switches.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { flood } from '../support/deliveries.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/report-state.ts');
const report = () => handler(eventOf('platform/report-state', 'all'), contextOf());

beforeEach(resetDatabases);

test('nothing there: nothing is due, nothing is held', async () => {
  expect(await report()).toEqual({
    outcome: 'reported',
    outbox: { due: 0, overdue: 0, oldestDueSeconds: null, postponed: 0, waiting: 0, held: 0 },
    held: [],
    scans: [],
    claims: [],
    switches: [],
  });
});

test('what is due, overdue, postponed, waiting and held is told apart', async () => {
  await run(`insert into signalbox.outbox (destination, body, due_at, held_by, dedupe_key, created_at) values
    ('queue:a/b', '1', now(3) - interval 2 second, null, null, now(3)),
    ('queue:a/b', '2', now(3) - interval 300 second, null, null, now(3)),
    ('queue:a/b', '3', now(3) + interval 3 second, null, null, now(3)),
    ('queue:a/b', '4', now(3) + interval 1 hour, null, unhex(sha2('4', 256)), now(3)),
    ('queue:a/b', '5', now(3) + interval 1 hour, null, unhex(sha2('5', 256)), now(3)),
    ('queue:a/b', '6', now(3) - interval 1 hour, 'charging', unhex(sha2('6', 256)), '2026-11-20 10:00:00'),
    ('queue:a/b', '7', now(3) - interval 1 hour, 'charging', null, '2026-11-20 11:00:00'),
    ('queue:a/b', '8', now(3) - interval 1 hour, 'partner:k3', null, '2026-11-20 12:00:00')`);
  const { outbox, held } = await report();
  expect(outbox).toMatchObject({ due: 2, overdue: 1, postponed: 2, waiting: 1, held: 3 });
  const { oldestDueSeconds } = outbox as { oldestDueSeconds: number };
  expect(oldestDueSeconds).toBeGreaterThanOrEqual(300);
  expect(oldestDueSeconds).toBeLessThan(330);
  expect(held).toEqual([
    { switch: 'charging', rows: 2, since: '2026-11-20 10:00:00.000' },
    { switch: 'partner:k3', rows: 1, since: '2026-11-20 12:00:00.000' },
  ]);
});

test('a row that was refused is counted as such, whatever it waits for', async () => {
  await run(`insert into signalbox.outbox (destination, body, due_at, dedupe_key, attempts, reason) values
    ('queue:a/b', '1', now(3) - interval 2 second, null, 1, 'no such queue'),
    ('queue:a/b', '2', now(3) + interval 600 second, null, 5, 'no such queue'),
    ('queue:a/b', '3', now(3) + interval 600 second, unhex(sha2('3', 256)), 5, 'no such queue')`);
  const { outbox } = await report();
  expect(outbox).toMatchObject({ refused: 3, due: 1, postponed: 0, waiting: 0 });
});

test('each scan with its lag, each claim that is held, each switch', async () => {
  await run(`insert into signalbox.scan_cursor values
    ('ended', now() - interval 90 second, null, now(), '0', 1),
    ('unfinished', now() - interval 3 hour, now(), now(), '0', 1)`);
  await run(`insert into signalbox.claim values
    ('held', 7, now(3) + interval 1000 second), ('over', 3, now(3) - interval 1 second)`);
  await run(`insert into signalbox.switch values
    ('charging', 'off', 'lena', 'booked twice', '2026-11-20 10:00:00')`);
  const { scans, claims, switches } = await report();
  const [ended, unfinished] = scans as { scan: string; run: string; lagSeconds: number }[];
  expect([ended?.scan, ended?.run]).toEqual(['ended', 'ended']);
  expect([unfinished?.scan, unfinished?.run]).toEqual(['unfinished', 'unfinished']);
  expect(Math.abs((ended?.lagSeconds ?? 0) - 90)).toBeLessThan(30);
  expect(Math.abs((unfinished?.lagSeconds ?? 0) - 10_800)).toBeLessThan(30);
  expect(claims).toMatchObject([{ claim: 'held', epoch: '7' }]);
  expect(switches).toEqual([
    {
      switch: 'charging',
      state: 'off',
      by: 'lena',
      at: '2026-11-20 10:00:00',
      why: 'booked twice',
    },
  ]);
});

test('it takes no input', async () => {
  await expect(handler({ id: 1 }, contextOf())).rejects.toThrow(/The input is not valid: .*id/);
});

test('every kill switch is named when all are asked for: what it stops, and who turned it off', async () => {
  await run(`insert into signalbox.switch values
    ('charging', 'off', 'lena', 'booked twice', '2026-11-20 10:00:00'),
    ('order/scenario-8', 'off', 'lena', 'pushed twice', '2026-11-20 10:00:00'),
    ('order/Singer', 'off', 'lena', 'a slip of the pen', '2026-11-20 10:00:00')`);
  const { switches } = await handler({ allSwitches: true }, contextOf());
  const listed = switches as { switch: string; stops: string; state: string | null }[];
  const known: Record<string, string> = { ...brokerSwitches, ...callSwitches, ...orderSwitches };
  const names = [...Object.keys(known), 'order/Singer', 'order/scenario-8'];
  expect(listed.map((row) => row.switch)).toEqual(names);
  for (const { switch: name, stops } of listed.slice(0, -2)) expect(stops).toBe(known[name]);
  const row = (name: string) => listed.find((one) => one.switch === name);
  expect(row('charging')).toMatchObject({ state: 'off', by: 'lena', why: 'booked twice' });
  expect(row('order/singer')).toMatchObject({ state: 'on', by: null, at: null, why: null });
  expect(row('order/scenario-<n>')).toMatchObject({ state: null });
  expect(row('order/scenario-8')).toMatchObject({
    state: 'off',
    stops: known['order/scenario-<n>'],
  });
  expect(row('order/Singer')).toMatchObject({
    state: 'off',
    stops: 'nothing: there is no such switch',
  });
});

test('report-state counts up to ten thousand rows of each state, and reads no others', async () => {
  await flood(60_000, "'queue:a/b'");
  await run("update signalbox.outbox set held_by = 'charging' order by id limit 25000");
  await run(
    'update signalbox.outbox set due_at = now(3) + interval 1 hour where held_by is null order by id limit 15000',
  );
  await run(
    'update signalbox.outbox set attempts = 1 where held_by is null order by id desc limit 3',
  );
  await run(
    'update signalbox.outbox set due_at = due_at - interval 60 second where due_at < now(3)',
  );
  const read = async () => {
    const [row] = await rowsOf("show global status like 'Innodb_rows_read'");
    return Number(row?.['Value']);
  };
  const before = await read();
  const { outbox, held } = await report();
  // Due, overdue, held, held by that switch, and those that are due next.
  expect((await read()) - before).toBeLessThan(55_000);
  expect(outbox).toMatchObject({
    due: 10_000,
    overdue: 10_000,
    held: 10_000,
    refused: 3,
    more: true,
    postponed: 0,
    waiting: 10_000,
  });
  expect(held).toMatchObject([{ switch: 'charging', rows: 10_000 }]);
}, 60_000);
