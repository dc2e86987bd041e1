import { expect, test } from 'vitest';
import { choosePatches, type Patch } from './bank-choice.ts';
import { patches } from './bug-bank.ts';

const bank: readonly Patch[] = [
  ...['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((bug) => ({ bug, domains: ['call'] })),
  ...['h', 'i', 'j', 'k'].map((bug) => ({ bug, domains: ['broker'] })),
  { bug: 'l', domains: ['platform'] },
  { bug: 'm', domains: ['order', 'platform'] },
];
const all = bank.map(({ bug }) => bug);
const chosen = (...changed: string[]) => choosePatches(bank, changed, 'commit 1');

test('choosePatches takes every patch of the touched domains and a third of the others', () => {
  const broker = ['h', 'i', 'j', 'k'];
  for (const path of [
    'lib/broker/publish/full-run.ts',
    'functions/broker/apply-event.ts',
    'events/broker/apply-event/one.json',
    'test/broker/apply-event.test.ts',
    'infra/broker.ts',
  ]) {
    expect(chosen(path, 'README.md')).toEqual(expect.arrayContaining(broker));
    expect(chosen(path)).toHaveLength(4 + 3);
  }
});

test('choosePatches takes only the patches of lib/platform when lib/platform is touched', () => {
  const platform = chosen('lib/platform/messaging/consume.ts');
  expect(platform).toEqual(expect.arrayContaining(['l', 'm']));
  expect(platform).toHaveLength(2 + 4);
});

test('choosePatches takes a third, rounded up, when no domain is touched', () => {
  expect(chosen()).toHaveLength(5);
  expect(chosen('README.md', 'docs/simulation.md', 'test/run.ts', 'infra/app.ts')).toEqual(
    chosen(),
  );
});

test('choosePatches takes a changed patch itself', () => {
  for (const bug of all) expect(chosen(`test/simulation/bugs/${bug}.patch`)).toContain(bug);
});

test('choosePatches takes all when the harness, a table or a package changed, or the base is unknown', () => {
  expect(chosen('test/simulation/run-scenario.ts')).toEqual(all);
  expect(chosen('test/simulation/scenarios/call.ts')).toEqual(all);
  expect(chosen('test/support/log-events.ts')).toEqual(all);
  expect(chosen('local/mysql.ts')).toEqual(all);
  expect(chosen('migrations/0001-signalbox.sql')).toEqual(all);
  expect(chosen('package-lock.json')).toEqual(all);
  expect(choosePatches(bank, undefined, 'commit 1')).toEqual(all);
  expect(chosen('test/simulation/broker.test.ts')).toHaveLength(5);
});

test('choosePatches takes the same third for the same commit, and every patch for some commit', () => {
  expect(choosePatches(bank, [], 'commit 1')).toEqual(choosePatches(bank, [], 'commit 1'));
  const ever = new Set(
    Array.from({ length: 40 }, (_, index) => choosePatches(bank, [], `commit ${index}`)).flat(),
  );
  expect([...ever].toSorted()).toEqual(all);
});

test('every patch of the bug bank belongs to a domain', () => {
  expect(patches.length).toBeGreaterThan(50);
  for (const { bug, domains } of patches) expect(domains, bug).not.toEqual([]);
});
