import { beforeEach, expect, test } from 'vitest';
import { acquireLease, assertLeaseHeld, LeaseLost } from '../../lib/platform/mysql/lease.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';

const db = mysql<PlatformTables>('mysql');
const take = () => acquireLease(db, 'test', 60);
const expire = () => run('update signalbox.claim set held_until = now(3) - interval 1 second');

beforeEach(resetDatabases);

test('one of twenty at once gets it', async () => {
  const claims = await Promise.all(Array.from({ length: 20 }, take));
  expect(claims.filter((one) => one)).toHaveLength(1);
});

test('it is free again when it is released, or its time is over; each has a higher epoch', async () => {
  const first = await take();
  expect(await take()).toBeUndefined();
  await first?.release();
  const second = await take();
  await expire();
  const third = await take();
  expect([first, second, third].map((one) => one?.fencingToken)).toEqual(['1', '2', '3']);
});

test('a holder that overslept cannot renew, release or write', async () => {
  const sleeper = await take();
  await expire();
  const next = await take();
  expect(await sleeper?.renew()).toBe(false);
  await sleeper?.release();
  expect(await take()).toBeUndefined(); // The next one still holds it.
  const write = db.transaction().execute(async (trx) => {
    await trx
      .insertInto('signalbox.audit')
      .values({ who: 'sleeper', what: 'wrote', why: null, detail: null })
      .execute();
    await assertLeaseHeld(trx, { name: 'test', fencingToken: sleeper?.fencingToken ?? '' });
  });
  await expect(write).rejects.toThrow(LeaseLost);
  expect(await rowsOf('select * from signalbox.audit')).toEqual([]);
  expect(await next?.renew()).toBe(true);
});

test('nobody takes the claim between the check and the commit of what it protects', async () => {
  const holder = await take();
  await expire();
  const order: string[] = [];
  let other: Promise<unknown> = Promise.resolve();
  await db.transaction().execute(async (trx) => {
    await assertLeaseHeld(trx, { name: 'test', fencingToken: holder?.fencingToken ?? '' });
    other = take().then(() => order.push('taken'));
    await new Promise((done) => setTimeout(done, 100));
    order.push('written');
  });
  await other;
  expect(order).toEqual(['written', 'taken']);
});
