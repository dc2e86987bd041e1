import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FieldTwice, jsonIn } from '../../lib/platform/json.ts';

test.each([
  ['{"a":1,"a":2}', 'a'],
  ['{"a":1,"\\u0061":1}', 'a'],
  ['{"b":{"a":1,"c":[{"x":1},{"y":1,"y" : 2}]}}', 'y'],
  ['[{"a":{}},{"a":[{}],"b":"}","a":1}]', 'a'],
  ['{"":1,"":1}', ''],
  ['{"a":1,"a":"\\u003a"}', 'a'],
  ['{"a":1,"a":{"b\\u003A":1}}', 'a'],
  ['{"__proto__":1,"__proto__":1}', '__proto__'],
  ['{"a\\"":1,"a\\"":1}', 'a"'],
  [`{"${'长'.repeat(200)}":1,"${'长'.repeat(200)}":1}`, '长'.repeat(100)],
])('a text of JSON that has a field twice is refused with its name: %s', (text, field) => {
  expect(() => jsonIn(text)).toThrow(FieldTwice);
  expect(() => jsonIn(text)).toThrow(`The field ${JSON.stringify(field)} is there twice.`);
});

test('the error is known by its name and its field', () => {
  expect(new FieldTwice('a')).toMatchObject({ name: 'FieldTwice', field: 'a' });
});

test.each(['{"x":["a","a","\\u0041"]}', '{"x":{"a":"a"},"y":{"a":"\\u0061"}}', '"\\u0041"'])(
  'a text with an escaped character, and no field twice, is read: %s',
  (text) => {
    expect(jsonIn(text)).toEqual(JSON.parse(text));
  },
);

test.each(['{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', '{"a":"a","b":"\\"a\\":1,\\"a\\":2"}'])(
  'the same name in other objects, or in a text, is no field twice: %s',
  (text) => {
    expect(jsonIn(text)).toEqual(JSON.parse(text));
  },
);

test('what JSON.stringify writes is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(jsonIn(text)).toEqual(JSON.parse(text));
    }),
  );
});

test('a field that is made twice anywhere is refused, whatever else the text holds', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
      fc.jsonValue(),
      (fields, other) => {
        const [[name, value] = []] = Object.entries(fields);
        const twice = `${JSON.stringify(fields).slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`;
        expect(() => jsonIn(`[${JSON.stringify(other)},${twice}]`)).toThrow(FieldTwice);
      },
    ),
  );
});

test('a text is read however deeply it is nested', () => {
  const deep = `${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}`;
  expect(() => jsonIn(deep)).not.toThrow();
});

test('what is no JSON is refused as JSON.parse refuses it', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(outcomeOf(jsonIn, text)).toEqual(outcomeOf(JSON.parse, text));
    }),
  );
});

function outcomeOf(read: (text: string) => unknown, text: string): unknown {
  try {
    return read(text);
  } catch (error) {
    return String(error);
  }
}
