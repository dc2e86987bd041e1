/** Parses JSON of other systems and refuses duplicate fields. */
import { colonsIn, colonsOf } from './colons.ts';
import { cutTo } from './cut.ts';

/** A JSON text has a field twice. JSON.parse would silently keep the last value. */
export class FieldTwice extends Error {
  override readonly name = 'FieldTwice';
  readonly field: string;

  constructor(field: string) {
    super(`The field ${JSON.stringify(field)} is there twice.`);
    this.field = field;
  }
}

/** Parses a JSON text of another system. Throws `FieldTwice`, and whatever JSON.parse throws. */
export function jsonIn(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // If no colon is escaped, a text with a duplicate field has more colons than its parsed value.
  if (!text.includes('\\u') && colonsIn(text) === colonsOf(value)) return value;
  const field = fieldTwiceIn(text);
  if (field !== undefined) throw new FieldTwice(cutTo(field, fieldLengthMax));
  return value;
}

const fieldLengthMax = 100;

/** Matches strings, with the colon that makes a string a field name, and the braces of objects. */
const tokens = /"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]/g;

/** Returns the first field that occurs twice in one object of a valid JSON text. */
function fieldTwiceIn(text: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, name, colon] of text.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (colon !== undefined && name !== undefined) {
      const field = name.includes('\\') ? String(JSON.parse(`"${name}"`)) : name;
      const fields = open.at(-1);
      if (fields?.has(field)) return field;
      fields?.add(field);
    }
  }
  return undefined;
}
