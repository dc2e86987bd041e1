import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { Input as SynchronisationInput } from '../../lib/broker/extensions.ts';
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { root } from '../../local/root.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/set-switch.ts');

type Input = { name: string; state: string; by: string; why: string };
const sample = (state: 'off' | 'on') => eventOf<Input>('platform/set-switch', state);
const set = (state: 'off' | 'on') => handler(sample(state), contextOf());

const switches = () => rowsOf('select name, state, `by`, why from signalbox.switch');
const trail = () => rowsOf('select who, what, why, detail from signalbox.audit order by id');
const waiting = () =>
  rowsOf('select body, held_by, version, due_at <= now(3) due from signalbox.outbox order by body');

async function hold(body: string, heldBy: string | null): Promise<void> {
  await run(
    `insert into signalbox.outbox (destination, body, due_at, held_by)
     values ('queue:call/charge-call', ?, now(3) + interval 1 day, ?)`,
    [body, heldBy],
  );
}

beforeEach(resetDatabases);

test('a switch is off, and the trail says who did it and why', async () => {
  expect(await set('off')).toEqual({ outcome: 'off', before: 'never set' });
  expect(await switches()).toEqual([sample('off')]);
  expect(await trail()).toEqual([
    {
      who: 'lena',
      what: 'switch/off',
      why: 'the payment centre books twice',
      detail: { name: 'charging', before: 'never set' },
    },
  ]);
});

test('lifting lets go of what it held, now and in a new version, and of nothing else', async () => {
  await set('off');
  await hold('a', 'charging');
  await hold('b', 'charging');
  await hold('c', 'campaigns');
  await hold('d', null);
  expect(await set('on')).toEqual({ outcome: 'on', before: 'off', released: 2 });
  expect(await waiting()).toEqual([
    { body: 'a', held_by: null, version: 2, due: '1' },
    { body: 'b', held_by: null, version: 2, due: '1' },
    { body: 'c', held_by: 'campaigns', version: 1, due: '0' },
    { body: 'd', held_by: null, version: 1, due: '0' },
  ]);
  expect(await switches()).toEqual([sample('on')]);
  expect((await trail()).map(({ what, detail }) => [what, detail])).toEqual([
    ['switch/off', { name: 'charging', before: 'never set' }],
    ['switch/on', { name: 'charging', before: 'off', released: 2 }],
  ]);
});

test('lifting twice, and two at once, leave the same rows', async () => {
  await set('off');
  await hold('a', 'charging');
  const both = await Promise.all([set('on'), set('on')]);
  expect(both.map(({ released }) => released).toSorted()).toEqual([0, 1]);
  await set('on');
  expect(await waiting()).toEqual([{ body: 'a', held_by: null, version: 2, due: '1' }]);
});

test.each([
  'order/Singer',
  'order/singer ',
  'Charging',
  'order/scenario-n',
  'order/scenario-<n>',
  'order/scenario-',
  'order/scenario-8x',
  'order/scenario-08',
  'order/scenario-0',
  'order/scenario-16',
  'order/scenario-99',
  'partner/nobody',
  'test:1',
])(
  '%j, which is no switch, is refused with those there are, and nothing is written',
  async (name) => {
    const thrown = await handler({ ...sample('off'), name }, contextOf()).catch(String);
    const wrongForm = /^Error: The input is not valid: name: /;
    if (!wrongForm.test(String(thrown)))
      expect(thrown).toMatch(
        new RegExp(
          `^Error: There is no switch ${name}\\. There are: broker/.*, order/singer, order/scenario-<n>\\.$`,
        ),
      );
    expect([await switches(), await trail()]).toEqual([[], []]);
  },
);

test.each([...Object.keys(brokerSwitches), 'order/singer', 'order/scenario-12', 'partner/k3'])(
  '%s is a switch, and says what it stops',
  async (name) => {
    expect(await handler({ ...sample('off'), name }, contextOf())).toMatchObject({
      outcome: 'off',
    });
    expect(await switches()).toMatchObject([{ name, state: 'off' }]);
  },
);

test('one that was set when names were not checked can be lifted', async () => {
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('order/Singer', 'off', 'a', 'b')",
  );
  const lifted = await handler({ ...sample('on'), name: 'order/Singer' }, contextOf());
  expect(lifted).toEqual({ outcome: 'on', before: 'off', released: 0 });
});

test('every function that publishes changes of brokers, and each of its modes, has a switch', () => {
  const producers = globSync('functions/broker/*.ts', { cwd: root })
    .filter((file) => readFileSync(join(root, file), 'utf8').includes('queues(brokerEvents)'))
    .map((file) => file.slice('functions/'.length, -'.ts'.length));
  expect(producers.length).toBeGreaterThan(8);
  const modes = Object.keys(brokerSwitches).filter((name) => name.includes(':'));
  expect(Object.keys(brokerSwitches).toSorted()).toEqual(
    [...producers, ...modes, 'partner/weishop'].toSorted(),
  );
  expect(modes.map((name) => name.replace(/.*:/, '')).toSorted()).toEqual(
    SynchronisationInput.shape.mode.options.toSorted(),
  );
});

test('a name that was never set is not lifted: it is a slip of the pen', async () => {
  expect(await set('on')).toEqual({ outcome: 'never set', before: 'never set' });
  expect([await switches(), await trail()]).toEqual([[], []]);
});

test('platform/set-switch says that there is no such switch when a misspelt name is lifted', async () => {
  expect(await handler({ ...sample('on'), name: 'charing' }, contextOf())).toEqual({
    ...{ outcome: 'no such switch', before: 'never set' },
  });
  expect([await switches(), await trail()]).toEqual([[], []]);
});

test.each(['audit', 'outbox'])(
  'a crash at %s leaves switch, trail and outbox as they were',
  async (table) => {
    await set('off');
    await hold('a', 'charging');
    const event = table === 'audit' ? 'insert' : 'update';
    await run(
      `create trigger signalbox.crash before ${event} on signalbox.${table} for each row signal sqlstate '45000'`,
    );
    try {
      await expect(set('on')).rejects.toThrow();
    } finally {
      await run('drop trigger signalbox.crash');
    }
    expect(await switches()).toEqual([sample('off')]);
    expect(await trail()).toHaveLength(1);
    expect(await waiting()).toEqual([{ body: 'a', held_by: 'charging', version: 1, due: '0' }]);
    expect(await set('on')).toMatchObject({ released: 1 });
  },
);

test.each([
  ['name', 'char ging'],
  ['state', 'broken'],
  ['by', ' '],
  ['why', ''],
  ['why', 'x'.repeat(501)],
])('a wrong %s is refused by name, and nothing is written', async (field, value) => {
  const input = { ...sample('off'), [field]: value };
  await expect(handler(input, contextOf())).rejects.toThrow(`The input is not valid: ${field}: `);
  expect([await switches(), await trail()]).toEqual([[], []]);
});
