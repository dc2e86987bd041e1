/** Zod schemas of fields that the inputs of several functions share. */
import * as z from 'zod';
import { isId } from './ids.ts';
import { dateOf, wallTime } from './time.ts';

/**
 * The person who requests an action. The maximum length is that of the columns in signalbox.audit and
 * signalbox.switch.
 */
export const Who = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .describe('who asks for it, for the audit trail');
/** The reason for an action. The maximum length is that of the columns, too. */
export const Why = z.string().trim().min(1).max(500).describe('why, for the audit trail');

/** Returns whether a time is in a year that every reader of times accepts. Other years are typing errors. */
const isInRange = (time: string): boolean => /^(?:19[7-9]\d|[2-9]\d{3})-/.test(time);

/** An existing day, in Shanghai. */
export const Day = z.iso
  .date('Expected a day that exists, such as 2026-11-20')
  .refine(isInRange, 'Expected a day from 1970 to 9999');

const zoned = z.iso.datetime({ offset: true });

/** An existing time, in Shanghai if it names no zone. It is parsed to wall time in Shanghai. */
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

/** Returns whether a text is an existing wall time: formatting its date gives the same text. */
function isTime(text: string): boolean {
  const date = dateOf(text);
  return isInRange(text) && !Number.isNaN(date.getTime()) && wallTime(date) === text;
}

/** An existing wall time or day of a database, as our answers contain it. */
export const WallTimeText = z.string().refine((text) => {
  const time = text.replace(/(?<=:\d\d)\.\d{1,6}$/, '');
  return isTime(time.length === 'YYYY-MM-DD'.length ? `${time} 00:00:00` : time);
}, 'Expected a time such as 2026-11-21 08:00:00');

/** Returns the schema of an id as text: a positive BIGINT. */
export const idOf = (what: string) => IdText(`Expected the id of ${what}, as text`);

/** Returns the schema of an id as text, with its own error message. */
export const IdText = (message: string) => z.string().refine(isId, message);

/**
 * Returns the schema of a cursor in a table that is read by ascending id: the id of the last row read, or 0 before the
 * first.
 */
export const placeAfter = (what: string) =>
  z
    .string()
    .refine((text) => text === '0' || isId(text), `Expected the id of ${what}, as text, or 0`);

const lowestId = -(2n ** 63n);
const highestId = 2n ** 64n - 1n;

/** A cursor in a table of another system, whose ids are any signed or unsigned BIGINT. */
export const AnyId = z.string().refine((text) => {
  if (!/^-?\d{1,20}$/.test(text)) return false;
  const id = BigInt(text);
  return id >= lowestId && id <= highestId;
}, 'Expected an id, as text');
