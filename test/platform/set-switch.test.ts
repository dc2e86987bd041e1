import { beforeEach, expect, test } from 'vitest';
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

test('a name that was never set is not lifted: it is a slip of the pen', async () => {
  expect(await set('on')).toEqual({ outcome: 'never set', before: 'never set' });
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
