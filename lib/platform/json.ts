import { colonsIn, colonsOf } from './colons.ts';
import { cutTo } from './cut.ts';

/** A field that a text of JSON has twice: of one the parser keeps the last, and says nothing of the others. */
export class FieldTwice extends Error {
  override readonly name = 'FieldTwice';
  readonly field: string;

  constructor(field: string) {
    super(`The field ${JSON.stringify(field)} is there twice.`);
    this.field = field;
  }
}

/** Parses a text that others wrote as JSON. Throws `FieldTwice`, and like JSON.parse. */
export function jsonIn(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // A field that is there twice has a colon more than the value, where no colon is escaped.
  if (!text.includes('\\u') && colonsIn(text) === colonsOf(value)) return value;
  const field = fieldTwiceIn(text);
  if (field !== undefined) throw new FieldTwice(cutTo(field, fieldLengthMax));
  return value;
}

const fieldLengthMax = 100;

/** Strings, one of them the name of a field where a colon follows, and where objects begin and end. */
const tokens = /"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]/g;

/** Of a text that is JSON. */
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
