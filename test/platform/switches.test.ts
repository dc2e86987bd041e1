import { beforeEach, expect, test } from 'vitest';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { resetDatabases, run } from '../support/databases.ts';

const db = mysql<PlatformTables>('mysql');
const turn = (name: string, state: string) =>
  run("replace into signalbox.switch (name, state, `by`, why) values (?, ?, 'test', 'test')", [
    name,
    state,
  ]);

beforeEach(resetDatabases);

test('names the first of the asked switches that is off; one that nobody ever set is on', async () => {
  await turn('call/charging', 'on');
  await turn('partner/singer', 'off');
  const stopped = switches({ mysql: db });
  expect(await stopped('call/charging')).toBeUndefined();
  expect(await stopped('never/set', 'partner/singer', 'call/charging')).toBe('partner/singer');
});

test('a switch that is turned is seen within a minute, and lifted within one', async () => {
  let nowMs = 0;
  const stopped = switches({ mysql: db }, () => nowMs);
  expect(await stopped('a')).toBeUndefined();
  await turn('a', 'off');
  nowMs += 60_000;
  expect(await stopped('a')).toBe('a');
  await turn('a', 'on');
  nowMs += 60_000;
  expect(await stopped('a')).toBeUndefined();
});

test('while the switches cannot be read nothing is said to be on', async () => {
  const stopped = switches({ mysql: db });
  await run('rename table signalbox.switch to signalbox.switch_away');
  try {
    await expect(stopped('a')).rejects.toThrow(/switch/);
  } finally {
    await run('rename table signalbox.switch_away to signalbox.switch');
  }
  expect(await stopped('a')).toBeUndefined();
});
