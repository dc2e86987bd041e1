/**
 * Odd values that rows and messages of other systems may hold, made from their schema: nulls, zero dates, the longest text and
 * one character more, 0, negative numbers, 2^63, characters of four bytes, control characters, trailing blanks.
 */
import fc from 'fast-check';
import { rowsOf, run } from './databases.ts';

export interface Column {
  readonly name: string;
  /** As information_schema has it: `varchar`, `bigint`, `datetime`, … */
  readonly type: string;
  /** With its length: `varchar(64)`, `datetime(3)`, … */
  readonly fullType: string;
  /** The longest text, in characters; null where it is no text. */
  readonly charactersMax: number | null;
  readonly isKey: boolean;
}

export type OddValue = string | number | null;
export type OddRow = Readonly<Record<string, OddValue>>;

/** The columns of a table (`schema.table`), in their order, as they were before `loosened`. */
export async function columnsOf(table: string): Promise<readonly Column[]> {
  const rows = await rowsOf(
    `select column_name name, data_type type, column_type fullType, character_maximum_length charactersMax, column_key = 'PRI' isKey
     from information_schema.columns where concat(table_schema, '.', table_name) = ? order by ordinal_position`,
    [table],
  );
  if (!rows.length) throw new Error(`There is no table ${table}.`);
  return rows.map(({ name, type, fullType, charactersMax, isKey }) => ({
    name: String(name),
    type: String(type),
    fullType: String(fullType),
    charactersMax: charactersMax === null ? null : Number(charactersMax),
    isKey: Number(isKey) === 1,
  }));
}

const twoTo = (exponent: number) => String(2n ** BigInt(exponent));
const lessOne = (number: string) => String(BigInt(number) - 1n);
/** Zero, negative, the largest, one more than that, the least. */
const integers = (bits: number): OddValue[] => [
  ...[null, 0, -1, 1, 2, lessOne(twoTo(bits - 1)), twoTo(bits - 1), `-${twoTo(bits - 1)}`],
];
const days = ['0000-00-00', '2026-00-00', '2026-11-00', '0000-11-20'];
const validDays = ['0001-01-01', '1970-01-01', '2099-12-31', '9999-12-31'];
const times = [
  ...[...days, ...validDays].map((day) => `${day} 00:00:00`),
  ...['1970-01-01 08:00:00', '9999-12-31 23:59:59'],
];

const oddTexts: readonly string[] = [
  ...['', ' ', '0', 'null', 'blank ', ' blank', '王芳😀', '👩‍👩‍👧', '\u202eabc', '\'\\"`;--', '%_'],
  ...['\u0000', '\u0001\u001f\u007f', 'line\r\nline\t', '\u2028', '\ufffd', '\ufffe'],
];
const texts = (charactersMax: number): OddValue[] => {
  const max = Math.min(charactersMax, 2_000);
  const long = ['长', '😀'].flatMap((one) => [one.repeat(max), one.repeat(max + 1)]);
  return [null, ...oddTexts, ...long, `${'x'.repeat(max)} `];
};

/** All that such a column may hold once its table is `loosened`; a key is never null. */
export function oddValuesOf({ type, charactersMax, isKey }: Column): readonly OddValue[] {
  const values = ((): OddValue[] => {
    switch (type) {
      case 'tinyint':
        return integers(8);
      case 'smallint':
        return integers(16);
      case 'mediumint':
      case 'int':
        return integers(32);
      case 'bigint':
        return integers(64);
      case 'decimal':
        return [null, 0, -1, '0.01', '-0.01'];
      case 'date':
        return [null, ...days, ...validDays];
      case 'datetime':
      case 'timestamp':
        return [null, ...times];
      case 'enum':
        return [null, '', 'unknown', '😀'];
      default:
        return charactersMax === null ? [null] : texts(charactersMax);
    }
  })();
  const tooLarge = new Set<OddValue>(type === 'bigint' ? [twoTo(63)] : []);
  return isKey ? values.filter((value) => value !== null && !tooLarge.has(value)) : values;
}

/** A row in which any column may be odd, but for those of `given`. */
export const oddRow = (columns: readonly Column[], given: OddRow = {}): fc.Arbitrary<OddRow> =>
  fc
    .record(
      Object.fromEntries(
        columns
          .filter(({ name }) => !(name in given))
          .map((column) => [column.name, fc.constantFrom(...oddValuesOf(column))]),
      ),
    )
    .map((row) => ({ ...(row as OddRow), ...given }));

/** For each column, and each odd value of it, the row `good` with that one value: every value once. */
export const everyOddRow = (
  columns: readonly Column[],
  good: OddRow,
): readonly { readonly column: string; readonly value: OddValue; readonly row: OddRow }[] =>
  columns.flatMap((column) =>
    oddValuesOf(column).map((value) => ({
      column: column.name,
      value,
      row: { ...good, [column.name]: value },
    })),
  );

/** Writes a row as an old or careless client would: zero dates pass, what does not fit is an error. */
export async function writeRow(table: string, row: OddRow): Promise<void> {
  const names = Object.keys(row).map((name) => `\`${name}\``);
  await run(
    `set @mode = @@sql_mode; set sql_mode = 'STRICT_ALL_TABLES';
    replace into ${quoted(table)} (${names.join(', ')}) values (?); set sql_mode = @mode`,
    [Object.values(row)],
  );
}

const quoted = (table: string): string =>
  table
    .split('.')
    .map((name) => `\`${name}\``)
    .join('.');

/** The next wider type, read by mysql2 as the same JavaScript type wherever a row is looked at and not only copied. */
const widened: Readonly<Record<string, string>> = {
  tinyint: 'smallint',
  smallint: 'int',
  mediumint: 'int',
  int: 'bigint',
  bigint: 'decimal(20, 0)',
  enum: 'varchar(64)',
};

/**
 * Does `work` while the table's columns take one more than they do by their schema, and nulls: another system may
 * change its tables without a word. Afterwards the table is as it was, and empty.
 */
export async function loosened(table: string, work: () => Promise<void>): Promise<void> {
  const columns = await columnsOf(table);
  const changes = columns
    .filter(({ isKey }) => !isKey)
    .map(({ name, type, fullType, charactersMax }) => {
      const isShort = type === 'varchar' || type === 'char';
      const text = isShort ? `varchar(${Number(charactersMax) * 2 + 10})` : undefined;
      return `modify column \`${name}\` ${text ?? widened[type] ?? fullType} null`;
    });
  const kept = `${table}_as_it_was`;
  await run(`create table ${quoted(kept)} like ${quoted(table)}`);
  try {
    if (changes.length) await run(`alter table ${quoted(table)} ${changes.join(', ')}`);
    await work();
  } finally {
    await run(`drop table ${quoted(table)}`);
    await run(`rename table ${quoted(kept)} to ${quoted(table)}`);
  }
}

/** Values of JSON that may be in any field. */
const oddJson: readonly unknown[] = [
  ...[undefined, null, true, 0, -1, 1.5, 2 ** 31, 2 ** 53, 2 ** 63, -(2 ** 63), 1e300],
  ...['', [], {}, [null], { a: 1 }, '\ud83d', '9223372036854775807', '9223372036854775808', '-1'],
  ...['2026-11-31 00:00:00', '0000-00-00 00:00:00', '９', 'x'.repeat(5_000)],
  ...oddTexts,
];

/** The message `good` with one field left out, of another type, or odd in its own. */
export const oddMessage = (
  good: Readonly<Record<string, unknown>>,
): fc.Arbitrary<{ readonly field: string; readonly message: Readonly<Record<string, unknown>> }> =>
  fc.constantFrom(...everyOddMessage(good));

/** Each field with each odd value once. */
export function everyOddMessage(
  good: Readonly<Record<string, unknown>>,
): readonly { readonly field: string; readonly message: Readonly<Record<string, unknown>> }[] {
  return Object.entries(good).flatMap(([field, value]) => {
    const own =
      typeof value === 'string'
        ? [`${value} `, ` ${value}`, `${value}\u0001`, `${value}😀`, `${value}\u0000`]
        : typeof value === 'number'
          ? [-value, value + 0.5, String(value)]
          : [];
    return [...oddJson, ...own].map((odd) => {
      const { [field]: _, ...rest } = good;
      return { field, message: odd === undefined ? rest : { ...rest, [field]: odd } };
    });
  });
}
