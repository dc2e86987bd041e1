/** An id as others write it in JSON: a number, beyond 2⁵³ a decimal string that keeps every digit. */
export const jsonId = (id: string): number | string =>
  Number.isSafeInteger(Number(id)) ? Number(id) : id;
