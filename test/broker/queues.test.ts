import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BrokerEvent, idsPerMessageMax } from '../../lib/broker/queues.ts';

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

    test('BrokerEvent parses or rejects any value without throwing', () => {
      fc.assert(
        fc.property(fc.anything(), (value) => {
          expect(typeof BrokerEvent.safeParse(value).success).toBe('boolean');
        }),
      );
    });
  });
});
