import { beforeEach, expect, test } from 'vitest';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { controlSinger, pushIdOf, shown, writePush } from '../support/pushes.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
await testDeadLetterQueue(pushesToSend);
const { handler } = await import('../../functions/order/resend-push.ts');
const { handler: push } = await import('../../functions/order/push-change.ts');

const event = eventOf<Record<string, string>>('order/resend-push', 'order');
const resend = (more: Record<string, unknown> = {}) => handler({ ...event, ...more }, contextOf());
const send = () => push(sqsEvent({ order_id: 7001 }), contextOf());
const states = async () =>
  (await rowsOf('select state from push_db.push order by sequence')).map(({ state }) => state);

beforeEach(async () => {
  await resetDatabases();
  await controlSinger('/__reset');
  await take(queue);
});

test('resend-push sends refused pushes in order and audits who asked', async () => {
  const nurse = { type: 'nurse', id: 55 };
  await controlSinger('/__unknown', nurse);
  const ids = [await writePush({ scenario: 6 }), await writePush({ scenario: 7 })];
  await writePush({ scenario: 8, ageSeconds: 86_400 });
  await send();
  expect(await states()).toEqual(['refused', 'refused', 'too old']);
  await controlSinger('/__known', nurse);
  expect(await resend()).toEqual({ outcome: 'resent', pushes: ids });
  expect((await take(queue)).map(({ Body }) => Body)).toEqual(['{"order_id":"7001"}']);
  await send();
  expect((await shown()).map(({ push_id }) => push_id)).toEqual(ids);
  expect(await states()).toEqual(['sent', 'sent', 'too old']);
  expect(await rowsOf('select who, what, why, detail from signalbox.audit')).toEqual([
    {
      ...{ who: 'wang', what: 'push/resend', why: 'Singer knows the nurse now' },
      detail: { order_id: '7001', pushes: ids },
    },
  ]);
});

test('the age of a push restarts when a person has it sent again days later', async () => {
  const push_id = await writePush({ scenario: 9, ageSeconds: 5 * 86_400 });
  await run("update push_db.push set state = 'refused'");
  await resend();
  await send();
  expect((await shown()).map((one) => one.push_id)).toEqual([push_id]);
});

test('an unknown push is sent again only when its id is given', async () => {
  const push_id = await writePush({ scenario: 8, ageSeconds: 86_400 });
  await run("update push_db.push set state = 'unknown', perhaps_sent_at = changed_at");
  expect(await resend()).toEqual({ outcome: 'nothing-to-resend', pushes: [] });
  expect(await take(queue)).toEqual([]);
  expect(await resend({ push_id })).toEqual({ outcome: 'resent', pushes: [push_id] });
  await send();
  expect((await shown()).map((one) => one.push_id)).toEqual([push_id]);
});

test('resend-push requeues a push once when called twice or concurrently', async () => {
  const push_id = await writePush({ scenario: 8 });
  await run("update push_db.push set state = 'refused'");
  const answers = await Promise.all([resend(), resend()]);
  expect(answers.map(({ outcome }) => outcome).toSorted()).toEqual([
    ...['nothing-to-resend', 'resent'],
  ]);
  await send();
  expect(await resend({ push_id })).toMatchObject({ outcome: 'nothing-to-resend' });
  expect(await shown()).toHaveLength(1);
  expect(await rowsOf('select 1 from signalbox.audit')).toHaveLength(1);
});

test('a push of another order is not touched, and unknown fields are refused', async () => {
  const push_id = await writePush({ scenario: 8, order: 7002 });
  await run("update push_db.push set state = 'refused'");
  expect(await resend({ push_id })).toMatchObject({ outcome: 'nothing-to-resend' });
  expect(await resend({ push_id: pushIdOf('none') })).toMatchObject({ pushes: [] });
  await expect(resend({ everything: true })).rejects.toThrow('everything');
});
