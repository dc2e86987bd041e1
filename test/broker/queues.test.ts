import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { BrokerEvent, brokerEvents, idPattern, idsPerMessageMax } from '../../lib/broker/queues.ts';

const valid = { broker_ids: '1', flag: 2 };

describe('lib/broker/queues', () => {
  describe('happy path', () => {
    test.each([
      [
        { broker_ids: '1,2,1', flag: 2, source: 1 },
        { ids: ['1', '2'], flag: 2, source: 1 },
      ],
      [
        { ...valid, source: 0 },
        { ids: ['1'], flag: 2, source: 1 },
      ],
      [
        { ...valid, source: '' },
        { ids: ['1'], flag: 2, source: 1 },
      ],
      [
        { ...valid, source: null },
        { ids: ['1'], flag: 2, source: 1 },
      ],
      [valid, { ids: ['1'], flag: 2, source: 1 }],
      [
        { ...valid, source_type: 101 },
        { ids: ['1'], flag: 2, source: 101 },
      ],
      [
        { ...valid, source: 0, source_type: 1 },
        { ids: ['1'], flag: 2, source: 1 },
      ],
      [
        { ...valid, source: '', source_type: 99 },
        { ids: ['1'], flag: 2, source: 99 },
      ],
      [
        { ...valid, more: 'of another system' },
        { ids: ['1'], flag: 2, source: 1 },
      ],
    ])('BrokerEvent parses %j', (sent, read) => {
      expect(BrokerEvent.parse(sent)).toEqual(read);
    });
  });

  describe('refused', () => {
    test.each([
      [{ ...valid, broker_ids: 1 }, 'broker_ids'],
      [{ ...valid, broker_ids: '1,' }, 'broker_ids'],
      [{ ...valid, broker_ids: '1, 2' }, 'broker_ids'],
      [{ ...valid, broker_ids: '0' }, 'broker_ids'],
      [{ ...valid, broker_ids: '9223372036854775808' }, 'broker_ids'],
      [
        {
          ...valid,
          broker_ids: Array.from({ length: idsPerMessageMax + 1 }, (_, id) => id + 1).join(','),
        },
        'broker_ids',
      ],
      [{ broker_ids: '1' }, 'flag'],
      [{ ...valid, flag: '2' }, 'flag'],
      [{ ...valid, flag: 2.5 }, 'flag'],
      [{ ...valid, source: '1' }, 'source'],
      [{ ...valid, source: -1 }, 'source'],
      [{ ...valid, source: 0, source_type: 2 }, 'source'],
      [{ ...valid, source_type: 5 }, 'source_type'],
    ])('BrokerEvent rejects %j because of its %s', (sent, field) => {
      const { error } = BrokerEvent.safeParse(sent);
      expect(error?.issues.map(({ path }) => path.join('.'))).toEqual([field]);
    });

    const messageOf = (sent: unknown) => BrokerEvent.safeParse(sent).error?.issues[0]?.message;

    test.each([
      [
        { ...valid, broker_ids: '1,x' },
        'Expected positive ids joined by commas; number 2 is not an id',
      ],
      [
        { ...valid, broker_ids: '' },
        'Expected positive ids joined by commas; number 1 is not an id',
      ],
      [
        { ...valid, broker_ids: '0,1' },
        'Expected positive ids joined by commas; number 1 is not an id',
      ],
      [
        { ...valid, broker_ids: Array(101).fill('1').join() },
        'Expected at most 100 ids, received 101',
      ],
      [{ broker_ids: '1', flag: 4 }, 'Expected one of 1, 2, 3'],
      [{ ...valid, source: 5 }, 'Expected one of 0, 1, 2, 3, 99, 100, 101'],
      [{ ...valid, source: 1, source_type: 2 }, 'source (1) and source_type (2) differ'],
    ])('BrokerEvent says what is wrong with %j: %s', (sent, message) => {
      expect(messageOf(sent)).toBe(message);
      expect(BrokerEvent.safeParse(sent).error?.issues[0]?.code).not.toBe('');
    });

    test('BrokerEvent parses or rejects any value without throwing', () => {
      fc.assert(
        fc.property(fc.anything(), (value) => {
          expect(typeof BrokerEvent.safeParse(value).success).toBe('boolean');
        }),
      );
    });
  });

  test('a message carries a hundred ids', () => {
    const ids = Array.from({ length: 100 }, (_, index) => String(index + 1));
    expect(BrokerEvent.parse({ ...valid, broker_ids: ids.join() }).ids).toEqual(ids);
  });

  test('the queue schema returns an id 0 apart from the others', () => {
    const { schema } = brokerEvents;
    const read = (broker_ids: string) => schema.safeParse({ ...valid, broker_ids });
    expect(read('0,2,0,1,2').data).toEqual({
      ids: ['2', '1'],
      unusable: ['0'],
      flag: 2,
      source: 1,
    });
    expect(read('1').data).toEqual({ ids: ['1'], unusable: [], flag: 2, source: 1 });
    expect(read('0,0').error?.issues[0]?.message).toBe(
      'Expected positive ids joined by commas; number 1 is not an id',
    );
    expect(read('0,1,x').error?.issues[0]?.message).toBe(
      'Expected positive ids joined by commas; number 3 is not an id',
    );
    expect(brokerEvents.id).toBe('broker/apply-event');
  });

  test('the API description of ids has their pattern and limits', () => {
    const { properties } = z.toJSONSchema(BrokerEvent, { io: 'input' });
    expect(properties?.['broker_ids']).toEqual({
      type: 'string',
      pattern: `^${idPattern.slice(1, -1)}(,${idPattern.slice(1, -1)}){0,99}$`,
      maxLength: 1_999,
      description: '1 to 100 ids, joined by commas; each at most 9223372036854775807.',
      examples: ['1,2'],
    });
    expect(idPattern).toBe('^[1-9][0-9]{0,18}$');
  });
});
