import * as z from 'zod';
import { dateOf, wallTime } from './time.ts';

/** Fields that inputs of several functions have, each with what is expected of it. */

/** A person who asks for something; the length is that of the columns in signalbox.audit and signalbox.switch. */
export const Who = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .describe('who asks for it, for the audit trail');
/** The length is that of the columns, too. */
export const Why = z.string().trim().min(1).max(500).describe('why, for the audit trail');

/** A day of Shanghai that exists. */
export const Day = z.iso.date('Expected a day that exists, such as 2026-11-20');

const zoned = z.iso.datetime({ offset: true });
const wall = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/;

/** A time that exists, in Shanghai where it names no zone; parsed to Shanghai's wall time. */
export const Time = z.string().transform((text, context) => {
  if (zoned.safeParse(text).success) return wallTime(new Date(text));
  if (wall.test(text) && wallTimeOrNull(text) === text) return text;
  context.addIssue({
    code: 'custom',
    message:
      'Expected a time that exists, such as 2026-11-21 08:00:00 (in Shanghai), or one with its zone, such as 2026-11-21T08:00:00+08:00',
  });
  return z.NEVER;
});

function wallTimeOrNull(text: string): string | null {
  const date = dateOf(text);
  return Number.isNaN(date.getTime()) ? null : wallTime(date);
}

/** A wall time of a database, as an answer of ours names it. */
export const WallTimeText = z
  .string()
  .regex(
    /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?$/,
    'Expected a time such as 2026-11-21 08:00:00',
  );

/** The text of an id that is a positive BIGINT. */
export const idOf = (what: string) =>
  z.string().regex(/^[1-9]\d{0,18}$/, `Expected the id of ${what}, as text`);
