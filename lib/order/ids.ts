const idMax = 2n ** 63n - 1n;

/** Whether a text is an id that our tables, messages and partners can hold. */
export const isId = (text: string): boolean =>
  /^[1-9]\d{0,18}$/.test(text) && BigInt(text) <= idMax;

/** An id as others write it in JSON: a number, beyond 2⁵³ a decimal string that keeps every digit. */
export const jsonId = (id: string): number | string =>
  Number.isSafeInteger(Number(id)) ? Number(id) : id;
