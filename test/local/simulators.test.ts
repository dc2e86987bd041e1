import { beforeEach, expect, test } from 'vitest';
import { startSimulator } from '../../local/simulators/controls.ts';

const pushes: unknown[] = [];
const { url, close } = await startSimulator({
  handle: ({ method, path, body }) => {
    if (method !== 'POST' || !path.startsWith('/push')) return undefined;
    pushes.push(body);
    return { body: { code: 0, count: pushes.length } };
  },
  refuse: () => ({ body: { code: 5000 } }),
  state: () => ({ pushes }),
  reset: () => {
    pushes.length = 0;
  },
  controls: { '/__clock': (body) => ({ at: body }) },
});

const post = async (path: string, body: unknown = {}) => {
  const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  return [response.status, await response.json()];
};
const state = async () => await (await fetch(`${url}/__state`)).json();

beforeEach(async () => {
  expect(await post('/__reset')).toEqual([200, {}]);
});

test('effects are held and shown, and gone after a reset', async () => {
  expect(await post('/push', { n: 1 })).toEqual([200, { code: 0, count: 1 }]);
  expect(await state()).toEqual({ pushes: [{ n: 1 }] });
  await post('/__reset');
  expect(await state()).toEqual({ pushes: [] });
});

test('an error and a refusal have no effect, a lost answer has', async () => {
  await post('/__faults', { mode: 'error', times: 1 });
  await post('/__faults', { mode: 'refuse', times: 1 });
  await post('/__faults', { mode: 'lose_answer', times: 1 });
  expect((await post('/push', { n: 1 }))[0]).toBe(500);
  expect(await post('/push', { n: 2 })).toEqual([200, { code: 5000 }]);
  expect(await state()).toEqual({ pushes: [] });
  await expect(post('/push', { n: 3 })).rejects.toThrow();
  expect(await state()).toEqual({ pushes: [{ n: 3 }] });
  expect(await post('/push', { n: 4 })).toEqual([200, { code: 0, count: 2 }]);
});

test('a page of a gateway has no effect, an odd answer has, and every request is listed until a reset', async () => {
  await post('/__faults', { mode: 'page', times: 1 });
  await post('/__faults', { mode: 'odd_answer', times: 1 });
  const page = await fetch(`${url}/push`, { method: 'POST', body: '{}' });
  expect([page.status, (await page.text()).slice(0, 6)]).toEqual([404, '<html>']);
  expect(await state()).toEqual({ pushes: [] });
  expect(await post('/push/b', { n: 1 })).toEqual([200, { odd: true }]);
  expect(await state()).toEqual({ pushes: [{ n: 1 }] });
  const calls = async () => await (await fetch(`${url}/__calls`)).json();
  expect(await calls()).toEqual({ calls: ['POST /push', 'POST /push/b'] });
  await post('/__reset');
  expect(await calls()).toEqual({ calls: [] });
});

test('a duplicate arrives twice, a slow one late', async () => {
  await post('/__faults', { mode: 'duplicate', times: 1 });
  expect(await post('/push', { n: 1 })).toEqual([200, { code: 0, count: 2 }]);
  await post('/__faults', { mode: 'slow', times: 1, ms: 120 });
  const began = performance.now();
  await post('/push', { n: 2 });
  expect(performance.now() - began).toBeGreaterThanOrEqual(119);
});

test('a fault is for the paths below its own, as often as it says, and ends with a reset', async () => {
  await post('/__faults', { path: '/push/b', mode: 'error', times: 2 });
  expect((await post('/push/a'))[0]).toBe(200);
  expect([(await post('/push/b'))[0], (await post('/push/bc'))[0]]).toEqual([500, 500]);
  expect((await post('/push/b'))[0]).toBe(200);
  await post('/__faults', { mode: 'error', times: 9 });
  await post('/__reset');
  expect((await post('/push'))[0]).toBe(200);
});

test('own controls, unknown paths and faults that are none are answered', async () => {
  expect(await post('/__clock', 5)).toEqual([200, { at: 5 }]);
  expect((await post('/__nothing'))[0]).toBe(404);
  expect((await post('/elsewhere'))[0]).toBe(404);
  expect((await post('/__faults', { mode: 'explode', times: 1 }))[0]).toBe(400);
});

test('what was still under way at a reset has no effect after it', async () => {
  await post('/__faults', { mode: 'slow', times: 1, ms: 300 });
  const late = post('/push', { n: 1 }).catch(() => 'cut');
  await post('/push', { n: 2 }); // The slow one has arrived before.
  await post('/__reset');
  expect(await late).toBe('cut');
  expect(await state()).toEqual({ pushes: [] });
});

test('it ends, and its port is free again', async () => {
  await close();
  await expect(fetch(`${url}/__state`)).rejects.toThrow();
});
