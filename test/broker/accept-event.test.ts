import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { eventInForm } from '../../lib/broker/form-body.ts';
import { BrokerEvent, brokerEvents, flags } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, turn } from '../support/databases.ts';
import { ask, httpEvent, signed } from '../support/http.ts';
import { eventOf } from '../support/lambda.ts';
import { take, testQueue } from '../support/queues.ts';

const id = 'broker/accept-event';
const queue = await testQueue(brokerEvents);
const { handler } = await import('../../functions/broker/accept-event.ts');

const published = async () => (await take(queue)).map(({ Body = '' }) => JSON.parse(Body));
const formType = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' };

interface Sent {
  readonly query?: string;
  readonly headers?: Record<string, string>;
}

const sent = (body: unknown, { query = 'tunnel=broker_event', headers = {} }: Sent = {}) =>
  signed(httpEvent({ method: 'POST', path: '/publish', query, headers, body }));
const form = (fields: string | Buffer) => sent(fields, { headers: formType });

/** Returns status, code, and the field of the first issue or else the message. */
async function refusal(event: APIGatewayProxyEventV2) {
  const { status, body } = await ask(handler, event);
  const { code, message, issues } = body.error ?? {};
  return [status, code, issues?.[0]?.path ?? message];
}

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
});

const tooMany = Array.from({ length: 10_000 }, (_, index) => index + 1).join(',');
const hundred = Array.from({ length: 100 }, (_, index) => index + 1).join(',');
const good = { broker_ids: '1', flag: 2, source: 1 };
const whole = encodeURIComponent(JSON.stringify(good));

const unknown = [404, 'unknown_tunnel', 'Unknown tunnel; the only one is broker_event.'];

describe('broker/accept-event', () => {
  describe('happy path', () => {
    test.each(['json', 'form', 'post-data'])(
      'publishes the message when it comes as %s',
      async (name) => {
        const event = signed(eventOf<APIGatewayProxyEventV2>(id, name));
        expect(await ask(handler, event)).toMatchObject({ status: 202, body: { accepted: 2 } });
        expect(await published()).toEqual([{ broker_ids: '1,2', flag: 2, source: 1 }]);
        expect(await rowsOf('select * from signalbox.outbox')).toEqual([]);
      },
    );

    test.each([
      ['broker_ids=7&flag=3', { broker_ids: '7', flag: 3, source: 1 }],
      ['broker_ids=7&flag=2&source=', { broker_ids: '7', flag: 2, source: 1 }],
      ['broker_ids=7&flag=2&source=0', { broker_ids: '7', flag: 2, source: 1 }],
      ['broker_ids=7&flag=1&source_type=101', { broker_ids: '7', flag: 1, source: 101 }],
      ['broker_ids=7,7,8&flag=2&source=99', { broker_ids: '7,8', flag: 2, source: 99 }],
      [
        'broker_ids=9223372036854775807&flag=2&source=100&other=x&other=y',
        { broker_ids: '9223372036854775807', flag: 2, source: 100 },
      ],
    ])('publishes the message of the form %s', async (fields, message) => {
      expect(await ask(handler, form(fields))).toMatchObject({ status: 202 });
      expect(await published()).toEqual([message]);
    });

    test('accepts 100 ids and answers 413 when the body has 300 kB', async () => {
      const body = { ...good, broker_ids: hundred };
      expect(await ask(handler, sent(body))).toMatchObject({
        status: 202,
        body: { accepted: 100 },
      });
      const huge = JSON.stringify({ ...good, padding: 'x'.repeat(300_000) });
      expect(await refusal({ ...sent(good), body: huge })).toEqual([
        413,
        'too_large',
        expect.stringContaining('262144'),
      ]);
      expect(await published()).toHaveLength(1);
    });
  });

  describe('refused', () => {
    test.each([
      ['no broker_ids', { flag: 2 }, 'broker_ids'],
      ['broker_ids is a number', { ...good, broker_ids: 1 }, 'broker_ids'],
      ['broker_ids is empty', { ...good, broker_ids: '' }, 'broker_ids'],
      ['a negative id', { ...good, broker_ids: '1,-2' }, 'broker_ids'],
      ['an id 0 among others', { ...good, broker_ids: '1,0' }, 'broker_ids'],
      ['an id over BIGINT', { ...good, broker_ids: '9223372036854775808' }, 'broker_ids'],
      ['ten thousand ids', { ...good, broker_ids: tooMany }, 'broker_ids'],
      ['no flag', { broker_ids: '1' }, 'flag'],
      ['an unknown flag', { ...good, flag: 4 }, 'flag'],
      ['a negative flag', { ...good, flag: -2 }, 'flag'],
      ['a flag as text in JSON', { ...good, flag: '2' }, 'flag'],
      ['an unknown source', { ...good, source: 4 }, 'source'],
      ['a source as text in JSON', { ...good, source: '1' }, 'source'],
      ['source and source_type at odds', { ...good, source_type: 2 }, 'source'],
      ['a list', [good], ''],
      ['null', 'null', ''],
      ['not JSON', '{"broker_ids":"1"', 'The body is not JSON.'],
      ['nothing', '', 'The body is not JSON.'],
      ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'The body is not UTF-8.'],
    ])(
      'answers 400 and publishes nothing when the JSON body is invalid (%s)',
      async (_, body, what) => {
        expect(await refusal(sent(body))).toEqual([400, 'invalid_body', what]);
        expect(await published()).toEqual([]);
      },
    );

    test.each([
      ['', 'broker_ids'],
      ['broker_ids=1', 'flag'],
      ['broker_ids=1&flag=two', 'flag'],
      ['broker_ids=1&flag=2.0', 'flag'],
      ['broker_ids=1&flag=-2', 'flag'],
      ['broker_ids=1&flag=2&source=x', 'source'],
      ['broker_ids=1&flag=2&source=1&source_type=2', 'source'],
      ['broker_ids=%FF&flag=2', 'broker_ids'],
      [`broker_ids=${tooMany}&flag=2`, 'broker_ids'],
      ['POST_data=%7B', 'POST_data is not JSON.'],
      [`POST_data=${encodeURIComponent('{"broker_ids":"1","flag":2,"flag":3}')}`, 'flag'],
      ['POST_data=%7B%22broker_ids%22%3A%221%22%2C%22flag%22%3A%222%22%7D', 'flag'],
      [Buffer.from([0x61, 0x3d, 0xff]), 'The body is not UTF-8.'],
      ['broker_ids=1&broker_ids=2&flag=2', 'broker_ids'],
      ['broker_ids=1&broker_ids=1&flag=2', 'broker_ids'],
      ['broker_ids=1&flag=2&flag=3', 'flag'],
      ['broker_ids=1&flag=2&source=1&source=2', 'source'],
      ['broker_ids=1&flag=2&source_type=1&source_type=', 'source_type'],
      [`POST_data=${whole}&broker_ids=2`, 'broker_ids'],
      [`flag=3&POST_data=${whole}`, 'flag'],
      [`POST_data=${whole}&source_type=`, 'source_type'],
      [`POST_data=${whole}&POST_data=${whole}`, 'POST_data'],
    ])('answers 400 and publishes nothing when the form is %s', async (fields, what) => {
      expect(await refusal(form(fields))).toEqual([400, 'invalid_body', what]);
      expect(await published()).toEqual([]);
    });

    test.each([
      ['tunnel=member_event', unknown],
      ['tunnel=broker_event,broker_event', unknown],
      ['tunnel=', unknown],
      ['', [400, 'invalid_body', 'tunnel']],
      ['Tunnel=broker_event', [400, 'invalid_body', 'tunnel']],
    ])(
      'refuses the query ?%s with any body because its tunnel is unknown',
      async (query, refused) => {
        expect(await refusal(sent(good, { query }))).toEqual(refused);
        expect(await refusal(sent('no JSON', { query }))).toEqual(refused);
        expect(await published()).toEqual([]);
      },
    );

    test('answers 401 when the request is unsigned or its signature was used before', async () => {
      const event = sent(good);
      const unsigned = httpEvent({
        method: 'POST',
        path: '/publish',
        query: 'tunnel=broker_event',
      });
      expect(await refusal(unsigned)).toEqual([
        ...[401, 'unauthenticated', 'This needs a signature.'],
      ]);
      const both = await Promise.all([ask(handler, event), ask(handler, event)]);
      expect(both.map(({ status }) => status).toSorted()).toEqual([202, 401]);
      expect(await published()).toHaveLength(1);
    });

    test('a form with any fields is either read as a message or refused', () => {
      const field = fc.constantFrom(
        'broker_ids',
        'flag',
        'source',
        'source_type',
        'x',
        '__proto__',
      );
      const value = fc.oneof(fc.string(), fc.integer().map(String), fc.constant('1,2'));
      fc.assert(
        fc.property(fc.array(fc.tuple(field, value)), (fields) => {
          const read = BrokerEvent.safeParse(eventInForm(new URLSearchParams(fields)));
          if (!read.success) return;
          expect(read.data.ids.length).toBeGreaterThan(0);
          expect(Object.values(flags)).toContain(read.data.flag);
        }),
      );
    });
  });

  describe('outage', () => {
    test('answers 202 and keeps the message in the outbox when SQS is unavailable', async () => {
      const there = process.env['QUEUE_BROKER_APPLY_EVENT'] ?? '';
      vi.resetModules();
      vi.stubEnv('QUEUE_BROKER_APPLY_EVENT', `${there}-gone`);
      const other = await import('../../functions/broker/accept-event.ts');
      vi.unstubAllEnvs();
      expect(await ask(other.handler, sent(good))).toMatchObject({ status: 202 });
      expect(await rowsOf('select destination, body from signalbox.outbox')).toEqual([
        { destination: 'queue:broker/apply-event', body: JSON.stringify(good) },
      ]);
    });

    test('answers 503 with Retry-After and publishes nothing while its kill switch is off, and accepts again when it is on', async () => {
      await turn(id, 'off');
      vi.resetModules();
      const { handler: fresh } = await import('../../functions/broker/accept-event.ts');
      const event = signed(eventOf<APIGatewayProxyEventV2>(id, 'json'));
      const { status, body, headers } = await ask(fresh, event);
      expect([status, body.error.code, headers['retry-after']]).toEqual([503, 'unavailable', '60']);
      expect([await published(), await rowsOf('select * from signalbox.outbox')]).toEqual([[], []]);
      await turn(id, 'on');
      vi.resetModules();
      const { handler: lifted } = await import('../../functions/broker/accept-event.ts');
      const again = signed(eventOf<APIGatewayProxyEventV2>(id, 'json'));
      expect(await ask(lifted, again)).toMatchObject({ status: 202 });
      expect(await published()).toHaveLength(1);
    });
  });
});
