import * as z from 'zod';

/** The largest BIGINT. */
export const idMax = String(2n ** 63n - 1n);

/** Whether a text is an id that tables, messages and partners can hold: a positive BIGINT. */
export const isId = (text: string): boolean =>
  /^[1-9]\d{0,18}$/.test(text) && BigInt(text) <= BigInt(idMax);

/** The highest id that a table of ours which numbers its rows gives: far above it numbers run out. */
export const numberedIdMax = String(10n ** 18n);

/** The highest id of another system that such a table is given: above it there is room for the ids to come. */
export const importedIdMax = String(9n * 10n ** 17n);

/** An id as others write it in JSON: a number, beyond 2⁵³ a decimal string that keeps every digit. */
export const jsonId = (id: string): number | string =>
  Number.isSafeInteger(Number(id)) ? Number(id) : id;

/** An id in a message or an answer, as a number or as text; it is a decimal string within: some are beyond 2⁵³. */
export const Id = z
  .union([z.int().positive(), z.string().regex(/^[1-9]\d{0,18}$/)], 'Expected a positive id')
  .transform(String)
  .refine(isId, 'Expected an id of at most 63 bits');
