import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { EventForm, eventInForm } from '../../lib/broker/form-body.ts';
import { Refused } from '../../lib/platform/http/refusal.ts';

const read = (form: string) => eventInForm(new URLSearchParams(form));
const whole = encodeURIComponent('{"broker_ids":"1","flag":2}');

test.each([
  ['broker_ids=1,2&flag=2&source=1', { broker_ids: '1,2', flag: 2, source: 1 }],
  ['broker_ids=7&flag=3', { broker_ids: '7', flag: 3 }],
  ['source_type=-1&source=', { source_type: -1, source: '' }],
  ['flag=123456789&source=1234567890', { flag: 123_456_789, source: '1234567890' }],
  ['flag=1.5&source=x1&source_type=1x', { flag: '1.5', source: 'x1', source_type: '1x' }],
  ['flag=--1&source=%201&more=12', { flag: '--1', source: ' 1', more: 12 }],
  ['flag=2&flag=3&broker_ids=1&broker_ids=', { flag: ['2', '3'], broker_ids: ['1', ''] }],
  ['', {}],
])('the form %j holds %j', (form, fields) => {
  expect(read(form)).toEqual(fields);
});

test('POST_data holds the whole message', () => {
  expect(read(`POST_data=${whole}`)).toEqual({ broker_ids: '1', flag: 2 });
  expect(read(`more=1&POST_data=${whole}`)).toEqual({ broker_ids: '1', flag: 2 });
});

function refusalOf(form: string) {
  try {
    read(form);
  } catch (error) {
    if (error instanceof Refused) return error.refusal.body.error;
  }
  throw new Error('It was not refused.');
}

test.each(['broker_ids', 'flag', 'source', 'source_type', 'POST_data'])(
  'a form with POST_data is refused when it also has %s',
  (name) => {
    expect(refusalOf(`POST_data=${whole}&${name}=`)).toEqual({
      code: 'invalid_body',
      message: 'POST_data must be the only field of the message.',
      issues: [{ path: name, message: 'Expected no other field beside one POST_data' }],
    });
  },
);

test('POST_data is JSON, each of its fields once', () => {
  expect(refusalOf('POST_data=')).toMatchObject({ message: 'POST_data is not JSON.' });
  expect(refusalOf(`POST_data=${encodeURIComponent('{"a":1,"a":1}')}`)).toMatchObject({
    message: 'POST_data has a field twice.',
  });
});

test('a message is read the same from its fields as from JSON', () => {
  const message = fc.record(
    {
      broker_ids: fc.array(fc.integer({ min: 1 }), { minLength: 1 }).map((ids) => ids.join(',')),
      flag: fc.integer({ min: -99, max: 99 }),
      source: fc.integer({ min: 0, max: 101 }),
    },
    { requiredKeys: ['broker_ids', 'flag'] },
  );
  fc.assert(
    fc.property(message, (sent) => {
      const fields = new URLSearchParams();
      for (const [name, value] of Object.entries(sent)) fields.set(name, String(value));
      const data = new URLSearchParams({ POST_data: JSON.stringify(sent) });
      expect(eventInForm(fields)).toEqual(sent);
      expect(eventInForm(data)).toEqual(sent);
    }),
  );
});

test('the description of a form says what each of its two forms is', () => {
  expect(z.toJSONSchema(EventForm, { io: 'input' }).anyOf).toMatchObject([
    { title: 'The fields of the message', required: ['broker_ids', 'flag'] },
    {
      title: 'The message as JSON in one field',
      properties: {
        POST_data: {
          type: 'string',
          contentMediaType: 'application/json',
          description: 'The whole message as JSON, as the body of application/json.',
          examples: ['{"broker_ids":"1,2","flag":2,"source":1}'],
        },
      },
      required: ['POST_data'],
    },
  ]);
});

test('the description of a form takes both its forms', () => {
  const takes = (value: unknown) => EventForm.safeParse(value).success;
  expect(takes({ broker_ids: '1', flag: 2 })).toBe(true);
  expect(takes({ broker_ids: '1', flag: 2, source: 100, source_type: 100 })).toBe(true);
  expect(takes({ POST_data: 'x' })).toBe(true);
  for (const value of [{}, { broker_ids: '1' }, { flag: 2 }, { POST_data: 1 }])
    expect(takes(value)).toBe(false);
  expect(takes({ broker_ids: '1', flag: 2, source: 5 })).toBe(false);
});
