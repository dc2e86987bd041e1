/** How many colons a text has. */
export function colonsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) count += 1;
  return count;
}

type Fields = Readonly<Record<string, unknown>>;

/** How many colons a value has as JSON: one for each field, and those within names and texts. It may be nested as deeply as a text is long. */
export function colonsOf(value: unknown): number {
  const left: unknown[] = [value];
  let count = 0;
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    if (typeof one === 'string') count += colonsIn(one);
    else if (Array.isArray(one)) for (const element of one) left.push(element);
    else if (typeof one === 'object')
      // Faster than Object.entries by half; what JSON.parse makes inherits no field, and null has none.
      for (const name in one as Fields) {
        count += 1 + colonsIn(name);
        left.push((one as Fields)[name]);
      }
  }
  return count;
}
