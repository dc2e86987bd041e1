import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dateOf, dateOrNull, pause, plusSeconds, wallTime } from '../../lib/platform/time.ts';

test('wall time is Shanghai time whatever the machine says', () => {
  expect(wallTime(new Date('2026-11-20T16:00:00Z'))).toBe('2026-11-21 00:00:00');
  expect(dateOf('2026-11-21 00:00:00').toISOString()).toBe('2026-11-20T16:00:00.000Z');
});

test('seconds are added across days, months and years', () => {
  expect(plusSeconds('2026-12-31 23:59:59', 1)).toBe('2027-01-01 00:00:00');
  expect(plusSeconds('2028-03-01 00:00:00', -1)).toBe('2028-02-29 23:59:59');
});

test('later is greater as text', () => {
  const seconds = fc.integer({ min: 0, max: 10 ** 8 });
  fc.assert(
    fc.property(seconds, fc.integer({ min: 1, max: 10 ** 8 }), (start, more) => {
      const time = plusSeconds('2000-01-01 00:00:00', start);
      expect(plusSeconds(time, more) > time).toBe(true);
      expect(plusSeconds(plusSeconds(time, more), -more)).toBe(time);
    }),
  );
});

test.each([
  '0000-00-00',
  '0000-00-00 00:00:00',
  '2026-00-00 10:00:00',
  '2026-11-00',
  '0000-11-20 00:00:00.000',
])('MySQL’s zero date %s is null', (zero) => {
  expect(dateOrNull(zero)).toBe(null);
});

test('null is null, and any other stamp is its time', () => {
  expect(dateOrNull(null)).toBe(null);
  expect(dateOrNull('2026-11-21 00:00:00')?.toISOString()).toBe('2026-11-20T16:00:00.000Z');
  expect(dateOrNull('2010-10-10 00:00:00.500')).toEqual(dateOf('2010-10-10 00:00:00.500'));
});

test.each(['2026-00-10 10:00:00', '2026-10-00 10:00:00', '2026-10-00', '0000-10-10 10:00:00'])(
  '%s is in part zero, and null',
  (time) => {
    expect(dateOrNull(time)).toBe(null);
  },
);

test('a pause is over after its time, and not before', async () => {
  const start = performance.now();
  expect(await pause(20)).toBeUndefined();
  expect(performance.now() - start).toBeGreaterThan(15);
});
