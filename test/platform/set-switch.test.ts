import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { Input as SynchronisationInput } from '../../lib/broker/publish/publish-ext-profiles.ts';
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { Postponed } from '../../lib/platform/errors.ts';
import { releaseIfOn } from '../../lib/platform/messaging/held-rows.ts';
import { postpone } from '../../lib/platform/messaging/outbox.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { root } from '../../local/root.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/set-switch.ts');

const db = mysql<PlatformTables>('mysql');

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

/** Rows that `charging` holds, by the numbers in their bodies. */
async function holdMany(count: number): Promise<void> {
  await run(
    `set session cte_max_recursion_depth = 100000;
     insert into signalbox.outbox (destination, body, due_at, held_by)
       with recursive n as (select 1 id union all select id + 1 from n where id < ?)
       select 'queue:call/charge-call', id, now(3) + interval id * 1000 microsecond, 'charging' from n`,
    [count],
  );
}
const heldRows = async () =>
  Number(
    (await rowsOf('select count(*) n from signalbox.outbox where held_by is not null'))[0]?.['n'],
  );

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
          `^Error: There is no switch ${name}\\. There are: broker/.*, order/singer, order/scenario-<n> \\(n from 1 to 15\\)\\.$`,
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
    .filter((file) => readFileSync(join(root, file), 'utf8').includes('queueChannel(brokerEvents)'))
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
  expect(await set('on')).toEqual({ outcome: 'never-set', before: 'never set' });
  expect([await switches(), await trail()]).toEqual([[], []]);
});

test('platform/set-switch says that there is no such switch when a misspelt name is lifted', async () => {
  expect(await handler({ ...sample('on'), name: 'charing' }, contextOf())).toEqual({
    outcome: 'no-such-switch',
    before: 'never set',
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

test('a switch that holds fifty thousand rows is lifted in portions, and none stays held', async () => {
  await set('off');
  await holdMany(50_000);
  expect(await set('on')).toEqual({ outcome: 'on', before: 'off', released: 50_000 });
  expect(await heldRows()).toBe(0);
  expect((await trail()).at(-1)?.['detail']).toEqual({
    name: 'charging',
    before: 'off',
    released: 1_000,
    more: true,
  });
}, 60_000);

test('a crash between two portions leaves the switch lifted; the next call releases the rest', async () => {
  await set('off');
  await holdMany(2_500);
  // The second portion meets a row that cannot be changed.
  await run(
    `create trigger signalbox.crash before update on signalbox.outbox for each row
     begin if new.body = '1500' then signal sqlstate '45000'; end if; end`,
  );
  try {
    await expect(set('on')).rejects.toThrow();
  } finally {
    await run('drop trigger signalbox.crash');
  }
  expect(await switches()).toMatchObject([{ state: 'on' }]);
  expect(await heldRows()).toBe(1_500);
  expect(await set('on')).toEqual({ outcome: 'on', before: 'on', released: 1_500 });
  expect(await heldRows()).toBe(0);
});

test('a message that a consumer postpones between two portions is not held, and one under the switch turned off again is', async () => {
  await set('off');
  await holdMany(2_500);
  const later = new Postponed(new Date(Date.now() + 3_600_000), 'charging is off', {
    heldBy: 'charging',
  });
  // The consumer has read the switch before it was lifted; the rest of its rows is still held.
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'on', 'a', 'b') on duplicate key update state = 'on'",
  );
  await postpone(db, queue('call/charge-call', z.unknown()), 'late', later);
  expect(await rowsOf("select held_by from signalbox.outbox where body = 'late'")).toEqual([
    { held_by: null },
  ]);
  await set('off');
  expect(await db.transaction().execute((trx) => releaseIfOn(trx, 'charging'))).toBe(0);
  expect(await heldRows()).toBe(2_500);
});
