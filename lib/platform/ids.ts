/** The form and the limits of ids in tables, messages and JSON. */
import * as z from 'zod';

/** The largest BIGINT. */
export const idMax = String(2n ** 63n - 1n);

/** Returns whether a text is an id that tables, messages and partners can hold: a positive BIGINT. */
export const isId = (text: string): boolean =>
  /^[1-9]\d{0,18}$/.test(text) && BigInt(text) <= BigInt(idMax);

/** The highest id that an AUTO_INCREMENT table of ours may reach. Ids far above it would run out. */
export const numberedIdMax = String(10n ** 18n);

/** The highest imported id of another system in such a table. It leaves room for the ids that follow. */
export const importedIdMax = String(9n * 10n ** 17n);

/**
 * Returns an id in the form that other systems write in JSON: a number, or beyond 2⁵³ a decimal string that keeps
 * every digit.
 */
export const jsonId = (id: string): number | string =>
  Number.isSafeInteger(Number(id)) ? Number(id) : id;

/**
 * An id in a message or an answer, as a number or as text. It is parsed to a decimal string, because some ids are
 * beyond 2⁵³.
 */
export const Id = z
  .union([z.int().positive(), z.string().regex(/^[1-9]\d{0,18}$/)], 'Expected a positive id')
  .transform(String)
  .refine(isId, 'Expected an id of at most 63 bits');
