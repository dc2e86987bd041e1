import { afterAll, beforeEach, expect, test } from 'vitest';
import { type SingerPush, singerAt } from '../../lib/order/pushes/singer.ts';
import { PartnerUnavailable } from '../../lib/platform/errors.ts';
import { startSimulator } from '../../local/simulators/controls.ts';
import { singerPartner } from '../../local/simulators/singer.ts';

let nowMs = 0;
const { url, close } = await startSimulator(singerPartner(() => nowMs));
afterAll(close);
const singer = singerAt()(url);
const hourMs = 3_600_000;

const post = async (path: string, body: unknown) => {
  const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
  return { status: response.status, answer: (await response.json()) as { code?: number } };
};
const shown = async () =>
  ((await (await fetch(`${url}/__state`)).json()) as { pushes: unknown[] }).pushes;

const push: SingerPush = {
  ...{ push_id: 'a', channel: 'wechat', receiver: { type: 'patient', id: 98 } },
  ...{ content: '您的退款已被同意，正在给您退款。', order_id: 7001 },
};

beforeEach(async () => {
  await post('/__reset', {});
});

test('a push is shown, and the same id within 24 hours is answered and not shown again', async () => {
  nowMs = 0;
  const first = await singer(push);
  nowMs = 24 * hourMs - 1;
  expect(await singer(push)).toEqual(first);
  expect(await shown()).toEqual([push]);
  nowMs = 24 * hourMs;
  expect(await singer(push)).not.toEqual(first);
  expect(await shown()).toEqual([push, push]);
});

test('an unknown receiver is refused for good, until it is known', async () => {
  await post('/__unknown', push.receiver);
  expect(await singer(push)).toEqual({ kind: 'unknown receiver' });
  expect(await shown()).toEqual([]);
  await post('/__known', push.receiver);
  expect(await singer(push)).toMatchObject({ kind: 'sent' });
});

test('"later" is an answer; a lost one may have come about, a server that is not there has not', async () => {
  await post('/__faults', { mode: 'refuse', times: 1 });
  expect(await singer(push)).toEqual({ kind: 'later' });
  await post('/__faults', { mode: 'lose_answer', times: 1 });
  await expect(singer(push)).rejects.toMatchObject({
    name: 'PartnerUnavailable',
    effect: 'possible',
  });
  expect(await shown()).toHaveLength(1);
  await post('/__faults', { mode: 'error', times: 1 });
  await expect(singer(push)).rejects.toMatchObject({ effect: 'possible' });
  const nobody = singerAt()('http://127.0.0.1:1');
  await expect(nobody(push)).rejects.toMatchObject({ effect: 'none' });
});

test('a request is sent once: a second one would hide what became of the first', async () => {
  await post('/__faults', { mode: 'error', times: 2 });
  await expect(singer(push)).rejects.toThrow(PartnerUnavailable);
  await expect(singer(push)).rejects.toThrow(PartnerUnavailable);
  expect(await singer(push)).toMatchObject({ kind: 'sent' });
});

test.each([
  { ...push, channel: 'sms' },
  { ...push, receiver: { type: 'doctor', id: 1 } },
  { ...push, receiver: { type: 'nurse' } },
  { ...push, content: '' },
  { ...push, more: 1 },
  { channel: 'app' },
])('the simulator takes no push of another form: %j', async (wrong) => {
  expect(await post('/push', wrong)).toMatchObject({ status: 400, answer: { code: 4000 } });
  expect(await shown()).toEqual([]);
});
