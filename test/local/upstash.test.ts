import { Redis } from '@upstash/redis';
import { beforeEach, expect, test } from 'vitest';
import { started } from '../support/started.ts';

const { url, token } = await started('redis-alone');
const redis = new Redis({ url, token, retry: false });

beforeEach(async () => {
  await redis.flushall();
});

test('commands of every shape of answer', async () => {
  await redis.set('姓名', { 名: '王芳', n: 1 });
  expect(await redis.get('姓名')).toEqual({ 名: '王芳', n: 1 });
  expect(await redis.get('absent')).toBeNull();
  await redis.hset('hash', { a: 1, b: 'two' });
  expect(await redis.hgetall('hash')).toEqual({ a: 1, b: 'two' });
  expect(await redis.set('姓名', 'x', { nx: true })).toBeNull();
  expect(await redis.incrby('number', 5)).toBe(5);
  await redis.expire('number', 60);
  expect(await redis.ttl('number')).toBeGreaterThan(50);
  expect(await redis.eval('return redis.call("GET", KEYS[1])', ['number'], [])).toBe(5);
});

test('a pipeline spans slots, and each of its commands fails alone', async () => {
  const pipeline = redis.pipeline();
  for (let index = 0; index < 50; index++) pipeline.set(`key:${index}`, index);
  expect(new Set(await pipeline.exec())).toEqual(new Set(['OK']));
  expect(await redis.dbsize()).toBe(50);
  const mixed = redis.pipeline().set('text', 'a').incr('text').get('text');
  await expect(mixed.exec()).rejects.toThrow(/not an integer/);
  expect(await redis.get('text')).toBe('a');
});

test('a transaction needs one slot', async () => {
  expect(await redis.multi().set('{a}1', 1).incr('{a}1').exec()).toEqual(['OK', 2]);
  await expect(redis.multi().set('a', 1).set('b', 2).exec()).rejects.toThrow(/CROSSSLOT/);
});

test('scanning finds every key of every node once', async () => {
  const names = Array.from({ length: 300 }, (_, index) => `key:${index}`);
  await Promise.all(names.map((name) => redis.set(name, 1)));
  const found: string[] = [];
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, { match: 'key:*', count: 50 });
    found.push(...keys);
    cursor = next;
  } while (cursor !== '0');
  expect(found.toSorted()).toEqual(names.toSorted());
});

test('a wrong token and a command that Upstash has not are refused', async () => {
  await expect(new Redis({ url, token: 'wrong', retry: false }).get('a')).rejects.toThrow(
    /WRONGPASS/,
  );
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(['CONFIG', 'GET', '*']),
  });
  expect([response.status, await response.json()]).toEqual([
    400,
    { error: "ERR Command is not available: 'CONFIG'" },
  ]);
});
