import { beforeEach, expect, test } from 'vitest';
import { resetCalls } from '../support/calls.ts';
import { rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/call/sync-broker-phones.ts');

const tick = () => handler(eventOf('call/sync-broker-phones', 'five-minutes'), contextOf());
const phones = async () =>
  (await rowsOf('select * from user_prop_db.broker_phone order by broker_id')).map(
    ({ broker_id, phone, digits }) => [broker_id, phone, digits],
  );
/** `seconds` ago by the database's clock. */
const ago = async (seconds: number) =>
  String((await rowsOf('select now() - interval ? second time', [seconds]))[0]?.['time']);

beforeEach(resetCalls);

test('numbers that changed are known as upstream has them, and as they are compared', async () => {
  await upstreamBroker(1, { stamp: await ago(60), mobile: '138-1234-5678' });
  await upstreamBroker(2, { stamp: await ago(60), mobile: '+8613912345678' });
  await upstreamBroker(3, { stamp: await ago(60), extension: false });
  await tick();
  expect(await phones()).toEqual([
    ['1', '138-1234-5678', '13812345678'],
    ['2', '+8613912345678', '13912345678'],
  ]);
});

test('a new number takes the old one’s place; one that was taken away, or has no digits, is gone', async () => {
  for (const id of [1, 2, 3, 4]) await upstreamBroker(id, { stamp: await ago(60) });
  await tick();
  expect(await phones()).toHaveLength(4);
  await upstreamBroker(1, { stamp: await ago(30), mobile: '13900000002' });
  await upstreamBroker(2, { stamp: await ago(30), mobile: null });
  await upstreamBroker(3, { stamp: await ago(30), mobile: '' });
  await upstreamBroker(4, { stamp: await ago(30), mobile: '无' });
  await tick();
  expect(await phones()).toEqual([['1', '13900000002', '13900000002']]);
});

test('two changes within one second are both seen', async () => {
  const stamp = await ago(30);
  await upstreamBroker(1, { stamp, mobile: '13900000001' });
  await tick();
  await upstreamBroker(1, { stamp, mobile: '13900000002' });
  await tick();
  expect(await phones()).toEqual([['1', '13900000002', '13900000002']]);
});

test('cursor and numbers are written together: a run that breaks off is made again', async () => {
  await upstreamBroker(1, { stamp: await ago(60) });
  await run('rename table signalbox.scan_seen to signalbox.away');
  await expect(tick()).rejects.toThrow(/scan_seen/);
  await run('rename table signalbox.away to signalbox.scan_seen');
  expect(await phones()).toEqual([]);
  await run('rename table user_prop_db.broker_phone to user_prop_db.away');
  await expect(tick()).rejects.toThrow(/broker_phone/);
  await run('rename table user_prop_db.away to user_prop_db.broker_phone');
  await tick();
  expect(await phones()).toHaveLength(1);
});

test('its cursor is its own, and two runs at once leave the same rows', async () => {
  await upstreamBroker(1, { stamp: await ago(60) });
  await Promise.all([tick(), tick()]);
  expect(await phones()).toHaveLength(1);
  const [cursor] = await rowsOf('select name from signalbox.scan_cursor');
  expect(cursor?.['name']).toBe('call/sync-broker-phones:anjuke_db.ajk_brokerextend');
});
