/** Counts the colons of JSON texts and values, so that duplicate fields are found cheaply. */

/** Returns the number of colons in a text. */
export function colonsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) count += 1;
  return count;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns the number of colons in the JSON text of a value: one per field, plus those inside names and strings. It
 * does not recurse, because a value may be nested as deeply as a text is long.
 */
export function colonsOf(value: unknown): number {
  const stack: unknown[] = [value];
  let count = 0;
  for (let current = stack.pop(); current !== undefined; current = stack.pop()) {
    if (typeof current === 'string') count += colonsIn(current);
    else if (Array.isArray(current)) for (const element of current) stack.push(element);
    else if (typeof current === 'object')
      // `for in` is faster by half than Object.entries. Values of JSON.parse inherit no fields, and null has none.
      for (const name in current as Fields) {
        count += 1 + colonsIn(name);
        stack.push((current as Fields)[name]);
      }
  }
  return count;
}
