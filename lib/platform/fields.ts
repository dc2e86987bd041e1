import * as z from 'zod';
import { isId } from './ids.ts';
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

/** Of years that every reader of a time knows; others are a slip of the pen. */
const isInRange = (time: string): boolean => /^(?:19[7-9]\d|[2-9]\d{3})-/.test(time);

/** A day of Shanghai that exists. */
export const Day = z.iso
  .date('Expected a day that exists, such as 2026-11-20')
  .refine(isInRange, 'Expected a day from 1970 to 9999');

const zoned = z.iso.datetime({ offset: true });

/** A time that exists, in Shanghai where it names no zone; parsed to Shanghai's wall time. */
export const Time = z.string().transform((text, context) => {
  const time = zoned.safeParse(text).success ? wallTime(new Date(text)) : text;
  if (isTime(time)) return time;
  context.addIssue({
    code: 'custom',
    message:
      'Expected a time that exists, such as 2026-11-21 08:00:00 (in Shanghai), or one with its zone, such as 2026-11-21T08:00:00+08:00',
  });
  return z.NEVER;
});

/** Whether a text is a wall time that exists: its date is written in just this way. */
function isTime(text: string): boolean {
  const date = dateOf(text);
  return isInRange(text) && !Number.isNaN(date.getTime()) && wallTime(date) === text;
}

/** A wall time or a day of a database, as an answer of ours names it; one that exists. */
export const WallTimeText = z.string().refine((text) => {
  const time = text.replace(/(?<=:\d\d)\.\d{1,6}$/, '');
  return isTime(time.length === 'YYYY-MM-DD'.length ? `${time} 00:00:00` : time);
}, 'Expected a time such as 2026-11-21 08:00:00');

/** The text of an id that is a positive BIGINT. */
export const idOf = (what: string) => IdText(`Expected the id of ${what}, as text`);

/** The same, with what is said of another text. */
export const IdText = (message: string) => z.string().refine(isId, message);

/** A place in a table that is read in the order of its ids: that of the last row, or 0 before the first. */
export const placeAfter = (what: string) =>
  z
    .string()
    .refine((text) => text === '0' || isId(text), `Expected the id of ${what}, as text, or 0`);

const lowestId = -(2n ** 63n);
const highestId = 2n ** 64n - 1n;

/** A place in a table of another system, whose ids are any BIGINT, signed or unsigned. */
export const AnyId = z.string().refine((text) => {
  if (!/^-?\d{1,20}$/.test(text)) return false;
  const id = BigInt(text);
  return id >= lowestId && id <= highestId;
}, 'Expected an id, as text');
