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

function colonsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) count += 1;
  return count;
}

/** Of a value as JSON: one for each field, and those within names and texts. It may be nested as deeply as a text is long. */
function colonsOf(value: unknown): number {
  const left: unknown[] = [value];
  let count = 0;
  for (let one = left.pop(); left.length || one !== undefined; one = left.pop()) {
    if (typeof one === 'string') count += colonsIn(one);
    else if (Array.isArray(one)) for (const element of one) left.push(element);
    else if (typeof one === 'object' && one !== null)
      // Faster than Object.entries by half; what JSON.parse makes inherits no field.
      for (const name in one) {
        count += 1 + colonsIn(name);
        left.push((one as Record<string, unknown>)[name]);
      }
  }
  return count;
}

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
