import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  phoneRow,
  type UpstreamPhone,
  unusablePhones,
} from '../../lib/call/filtering/broker-phone-rows.ts';

const good: UpstreamPhone = { id: '7', phone: '138-1234-5678', stamp: '2026-11-20 10:00:00' };

test('a broker is known by the number as it is written, its digits and its stamp', () => {
  expect(phoneRow(good)).toEqual({
    ...{ broker_id: '7', phone: '138-1234-5678', digits: '13812345678' },
    updated_at: '2026-11-20 10:00:00',
  });
  expect(phoneRow({ ...good, phone: `${'-'.repeat(30)}1` })).toMatchObject({
    ...{ phone: '-'.repeat(20), digits: '1' },
  });
});

test.each([null, '0000-00-00 00:00:00'])('the stamp %j is none', (stamp) => {
  expect(phoneRow({ ...good, stamp })).toMatchObject({ updated_at: null });
});

const unusable = [
  { ...good, id: '0' },
  { ...good, id: '-7', phone: null },
  { ...good, id: '8', phone: '1'.repeat(21) },
];
const withoutNumber = [null, '', 'none', '-'].map((phone) => ({ ...good, phone }));

test('a row without a number, or with what is none, makes no row', () => {
  for (const row of [...unusable, ...withoutNumber]) expect(phoneRow(row)).toBeUndefined();
  expect(phoneRow({ ...good, phone: '2'.repeat(20) })).toMatchObject({ digits: '2'.repeat(20) });
});

test('ids of rows that cannot be used are named once each; a broker without a number is usable', () => {
  const { collect, facts } = unusablePhones();
  collect([good, ...withoutNumber]);
  expect(facts()).toEqual({});
  collect(unusable);
  collect([good, ...unusable.toReversed()]);
  expect(facts()).toEqual({ unusable: ['0', '-7', '8'] });
});

test('twenty of them are named', () => {
  const { collect, facts } = unusablePhones();
  const rows = Array.from({ length: 25 }, (_, index) => ({ ...good, id: String(-index) }));
  collect(rows.slice(0, 15));
  collect(rows.slice(15));
  expect(facts()).toEqual({ unusable: rows.slice(0, 20).map(({ id }) => id) });
});

test('whatever a row holds, what is made of it fits its columns', () => {
  const unit = fc.constantFrom('0', '1', '8', '6', '-', '可', '😀', '\ud83d');
  const text = fc.option(fc.string({ unit, maxLength: 40 }), { nil: null });
  fc.assert(
    fc.property(text, text, fc.bigInt().map(String), (phone, stamp, id) => {
      const row = phoneRow({ id, phone, stamp });
      if (!row) return;
      expect(row.digits).toMatch(/^\d{1,20}$/);
      expect(Array.from(row.phone).length).toBeLessThanOrEqual(20);
      expect(row.phone.isWellFormed()).toBe(true);
    }),
  );
});
