import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { beforeEach, expect, test, vi } from 'vitest';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent, sqsRecord } from '../support/lambda.ts';
import { controlSinger, shown, writePush } from '../support/pushes.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
const dead = await testDeadLetterQueue(pushesToSend);
const { handler } = await import('../../functions/order/push-change.ts');

/** The handler as a new process has it: switches are remembered for ten seconds. */
async function fresh() {
  vi.resetModules();
  return await import('../../functions/order/push-change.ts');
}

const push = (event: SQSEvent): Promise<SQSBatchResponse> => handler(event, contextOf(60_000));
const nudge = (...orders: number[]) => push(sqsEvent(...orders.map((order_id) => ({ order_id }))));
const shownIds = async () => (await shown()).map(({ push_id }) => push_id);
const states = async (order = 7001) =>
  (
    await rowsOf('select state from push_db.push where order_id = ? order by sequence', [order])
  ).map(({ state }) => state);
const logged = async () =>
  (await rowsOf('select outcome, entry from push_db.push_log order by id')).map(
    ({ outcome, entry }) => [outcome, JSON.parse(String(entry))],
  );
/** In how many seconds the message of an order comes again. */
const postponed = async () =>
  (
    await rowsOf(
      'select body, held_by, timestampdiff(second, now(3), due_at) seconds from signalbox.outbox',
    )
  ).map(({ seconds, ...row }) => ({ ...row, seconds: Number(seconds) }));
const aTime = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);

beforeEach(async () => {
  await resetDatabases();
  await controlSinger('/__reset');
  await take(queue);
  await take(dead);
});

test('a push has the required body, and its success is logged in the required format', async () => {
  const push_id = await writePush({ scenario: 8 });
  await expect(push(eventOf('order/push-change', 'one'))).resolves.toEqual({
    batchItemFailures: [],
  });
  expect(await shown()).toEqual([
    {
      push_id,
      channel: 'wechat',
      receiver: { type: 'patient', id: 98 },
      content: '您的订单已接单，点击查看订单详情。',
      order_id: 7001,
      data: { nurse_id: 55 },
    },
  ]);
  expect(await rowsOf('select state, message_id, attempts, reason from push_db.push')).toEqual([
    { state: 'sent', message_id: 'singer-1', attempts: 1, reason: null },
  ]);
  const [row] = await rowsOf('select outcome, entry from push_db.push_log');
  expect(row).toEqual({
    outcome: 'sent',
    entry: expect.stringMatching(
      /^\{"userId":98,"operate":"护士接单","successTime":"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"\}$/,
    ),
  });
});

test('the pushes of an order go out in the order of their changes; a nurse is logged as a nurse', async () => {
  const ids = [];
  for (const scenario of [2, 8, 13, 14, 15]) ids.push(await writePush({ scenario }));
  await nudge(7001);
  expect(await shownIds()).toEqual(ids);
  expect(await states()).toEqual(['sent', 'sent', 'sent', 'sent', 'sent']);
  expect(await logged()).toEqual([
    ['sent', { nurseId: 55, operate: '患者支付成功', successTime: aTime }],
    ['sent', { userId: 98, operate: '护士接单', successTime: aTime }],
    ['sent', { userId: 98, operate: '服务开始', successTime: aTime }],
    ['sent', { nurseId: 55, operate: '服务超时/异常', successTime: aTime }],
    ['sent', { userId: 98, operate: '服务完成（护士触发）', successTime: aTime }],
  ]);
});

test('more pushes than one message sends go out by the next', async () => {
  const ids = [];
  for (let n = 0; n < 12; n++) ids.push(await writePush({ scenario: n % 2 ? 6 : 7 }));
  await nudge(7001);
  expect(await shownIds()).toEqual(ids.slice(0, 10));
  const [message] = await take(queue);
  expect(message?.Body).toBe('{"order_id":"7001"}');
  await push(sqsEvent(message?.Body));
  expect(await shownIds()).toEqual(ids);
});

test('without a nurse the group of those who may accept the order hears that it is paid', async () => {
  await writePush({ scenario: 2, nurse: null });
  await writePush({ scenario: 14, nurse: null });
  await nudge(7001);
  expect(await shown()).toMatchObject([{ receiver: { type: 'nurse_group', id: 7001 } }]);
  expect(await states()).toEqual(['sent', 'no receiver']);
  expect(await logged()).toEqual([
    ['sent', { nurseId: null, operate: '患者支付成功', successTime: aTime }],
  ]);
});

test('the same message twice, and many at once, push each once and in order', async () => {
  const orders = [7001, 7002, 7003];
  const ids = new Map<number, string[]>(orders.map((order) => [order, []]));
  for (const scenario of [8, 13, 15])
    for (const order of orders) ids.get(order)?.push(await writePush({ scenario, order }));
  await Promise.all([nudge(...orders, ...orders), nudge(...orders.toReversed()), nudge(7001)]);
  await run("update push_db.push set in_hand_until = null where state = 'in hand'");
  await nudge(...orders);
  const all = await shown();
  for (const order of orders)
    expect(all.filter(({ order_id }) => order_id === order).map(({ push_id }) => push_id)).toEqual(
      ids.get(order),
    );
});

test('a message is postponed on every delivery while another worker holds the lease of a push', async () => {
  await writePush({ scenario: 8 });
  await run(
    "update push_db.push set state = 'in hand', epoch = 1, in_hand_until = now(3) + interval 15 second",
  );
  await nudge(7001, 7001);
  await nudge(7001);
  expect(await shown()).toEqual([]);
  const waiting = await postponed();
  expect(waiting).toMatchObject([{ held_by: null }]);
  expect(waiting[0]?.seconds).toBeGreaterThan(12);
  await run('update push_db.push set in_hand_until = now(3) - interval 1 second');
  await nudge(7001);
  expect(await states()).toEqual(['sent']);
  expect(await rowsOf('select epoch from push_db.push')).toEqual([{ epoch: 2 }]);
});

test('the answer "later" postpones the order by one minute, then twice as long, and counts as not sent', async () => {
  await writePush({ scenario: 8 });
  await controlSinger('/__faults', { mode: 'refuse', times: 2 });
  await nudge(7001);
  const [first] = await postponed();
  expect(first?.seconds).toBeGreaterThan(50);
  expect(first?.seconds).toBeLessThanOrEqual(60);
  await run('delete from signalbox.outbox');
  await nudge(7001);
  expect((await postponed())[0]?.seconds).toBeGreaterThan(110);
  expect(await rowsOf('select state, perhaps_sent_at from push_db.push')).toEqual([
    { state: 'unsent', perhaps_sent_at: null },
  ]);
  expect((await logged()).map(([outcome]) => outcome)).toEqual(['failed', 'failed']);
  await nudge(7001);
  expect(await states()).toEqual(['sent']);
});

test.each(['lose_answer', 'error', 'slow'])(
  'an answer that is not known (%s): the next waits with it, then both go out, once and in order',
  async (mode) => {
    const ids = [await writePush({ scenario: 8 }), await writePush({ scenario: 13 })];
    await controlSinger('/__faults', { mode, times: 1, ms: 5_000 });
    await nudge(7001);
    expect(await states()).toEqual(['unsent', 'unsent']);
    expect(await postponed()).toHaveLength(1);
    await nudge(7001);
    expect(await shownIds()).toEqual(ids);
    expect(await states()).toEqual(['sent', 'sent']);
  },
);

test('a push with a lost answer and then "later" may have been sent, and is not sent again after 23 hours', async () => {
  const first = await writePush({ scenario: 8 });
  const perhaps = async () =>
    (await rowsOf('select perhaps_sent_at from push_db.push'))[0]?.['perhaps_sent_at'];
  await controlSinger('/__faults', { mode: 'lose_answer', times: 1 });
  await nudge(7001);
  const at = await perhaps();
  expect(at).not.toBe(null);
  await controlSinger('/__faults', { mode: 'refuse', times: 1 });
  await nudge(7001);
  expect(await perhaps()).toBe(at);
  await run('update push_db.push set perhaps_sent_at = now(3) - interval 23 hour');
  await nudge(7001);
  expect(await states()).toEqual(['unknown']);
  expect(await shownIds()).toEqual([first]);
});

test('a push that may have been sent is repeated for 23 hours, then becomes unknown, and later pushes follow', async () => {
  const first = await writePush({ scenario: 8 });
  const second = await writePush({ scenario: 13 });
  await controlSinger('/__faults', { mode: 'lose_answer', times: 1 });
  await nudge(7001);
  await run(
    'update push_db.push set perhaps_sent_at = now(3) - interval 23 hour where push_id = ?',
    [first],
  );
  await nudge(7001);
  expect(await states()).toEqual(['unknown', 'sent']);
  expect(await shownIds()).toEqual([first, second]);
  expect((await logged()).map(([outcome]) => outcome)).toEqual(['failed', 'unknown', 'sent']);
});

test('a push to an unknown receiver ends as refused, and later pushes of the order follow', async () => {
  await controlSinger('/__unknown', { type: 'nurse', id: 55 });
  await writePush({ scenario: 6 });
  const second = await writePush({ scenario: 9 });
  await nudge(7001);
  expect(await shownIds()).toEqual([second]);
  expect(await rowsOf('select state, reason from push_db.push order by sequence')).toEqual([
    { state: 'refused', reason: 'Singer does not know the nurse (4101).' },
    { state: 'sent', reason: null },
  ]);
  expect((await logged())[0]).toEqual([
    'refused',
    {
      ...{ nurseId: 55, operate: '患者申请退款', failureTime: aTime },
      reason: 'Singer does not know the nurse (4101).',
    },
  ]);
  await nudge(7001);
  expect(await shownIds()).toEqual([second]);
});

test('what is too old, or urgent and overtaken, is withheld and logged; the rest goes out', async () => {
  const hour = 3_600;
  await writePush({ scenario: 2, ageSeconds: 2 * hour });
  await writePush({ scenario: 8, ageSeconds: 23 * hour });
  const third = await writePush({ scenario: 13, ageSeconds: 22 * hour });
  await writePush({ scenario: 14, ageSeconds: 660 });
  const fifth = await writePush({ scenario: 15, ageSeconds: 650 });
  await nudge(7001);
  expect(await states()).toEqual(['too old', 'too old', 'sent', 'overtaken', 'sent']);
  expect(await shownIds()).toEqual([third, fifth]);
  expect((await logged()).map(([outcome]) => outcome)).toEqual([
    ...['too old', 'too old', 'sent', 'overtaken', 'sent'],
  ]);
});

test('a kill switch holds the pushes of an order until it is on again: of all scenarios, or of one', async () => {
  await writePush({ scenario: 8 });
  await writePush({ scenario: 8, order: 7002 });
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('order/scenario-8', 'off', 'a', 'b')",
  );
  await (await fresh()).handler(sqsEvent({ order_id: 7001 }), contextOf());
  expect(await shown()).toEqual([]);
  expect(await postponed()).toMatchObject([{ held_by: 'order/scenario-8' }]);
  await run("update signalbox.switch set name = 'order/singer'; delete from signalbox.outbox");
  await (await fresh()).handler(sqsEvent({ order_id: 7002 }), contextOf());
  expect(await postponed()).toMatchObject([{ held_by: 'order/singer' }]);
  await run("update signalbox.switch set state = 'on'");
  await (await fresh()).handler(sqsEvent({ order_id: 7001 }, { order_id: 7002 }), contextOf());
  expect(await shown()).toHaveLength(2);
});

test('a push is sent once after a crash at any write, because it is leased again when its lease has expired', async () => {
  for (const [event, table] of [
    ['before update', 'push'],
    ['after update', 'push'],
    ['before insert', 'push_log'],
  ]) {
    await resetDatabases();
    await controlSinger('/__reset');
    const push_id = await writePush({ scenario: 8 });
    const when = table === 'push' ? "if new.state = 'sent' then" : 'if 1 then';
    await run(
      `create trigger push_db.crash ${event} on push_db.${table} for each row begin ${when} signal sqlstate '45000'; end if; end`,
    );
    try {
      const records = sqsEvent({ order_id: 7001 });
      expect(redelivered(records, await push(records))).toEqual([0]);
    } finally {
      await run('drop trigger push_db.crash');
    }
    expect(await states()).toEqual(['in hand']);
    await nudge(7001);
    expect(await states()).toEqual(['in hand']);
    await run('update push_db.push set in_hand_until = now(3) - interval 1 second');
    await nudge(7001);
    expect(await states()).toEqual(['sent']);
    expect(await shownIds()).toEqual([push_id]);
    expect(await rowsOf("select 1 from push_db.push_log where outcome = 'sent'")).toHaveLength(1);
  }
});

test('a message returns and no push is leased while the settings cannot be read', async () => {
  await writePush({ scenario: 8 });
  vi.stubEnv('SETTINGS_ORDER', '/signalbox/nowhere/config/order');
  const { handler: other } = await fresh();
  vi.unstubAllEnvs();
  const event: SQSEvent = { Records: [sqsRecord({ order_id: 7001 }, 9)] };
  expect(redelivered(event, await other(event, contextOf()))).toEqual([0]);
  expect(await rowsOf('select state, attempts, perhaps_sent_at from push_db.push')).toEqual([
    { state: 'unsent', attempts: 0, perhaps_sent_at: null },
  ]);
});

test('an order without pushes, and one whose pushes are sent, have nothing to send', async () => {
  await writePush({ scenario: 8 });
  await nudge(7001);
  await nudge(7001, 404);
  expect(await shown()).toHaveLength(1);
  expect(await logged()).toHaveLength(1);
});

test('a message without an order id is dead-lettered', async () => {
  await push(sqsEvent({ order_id: 'seven' }, { order: 7 }));
  expect((await takeDead(dead)).map(({ body }) => body)).toEqual([
    ...['{"order":7}', '{"order_id":"seven"}'].toSorted(),
  ]);
});
