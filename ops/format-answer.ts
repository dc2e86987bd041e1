/** Formats answers of functions as tables. */
import { table } from '../local/progress.ts';

type Row = Readonly<Record<string, unknown>>;

const isRow = (value: unknown): value is Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isRows = (value: unknown): value is readonly Row[] =>
  Array.isArray(value) && value.length > 0 && value.every(isRow);

function cellOf(value: unknown): string | number {
  if (typeof value === 'number' || typeof value === 'string') return value;
  if (value === null || value === undefined) return '–';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Formats an answer: single facts as one table, each list of rows as its own table. */
export function tablesOf(title: string, facts: Row): string {
  const lists = Object.entries(facts).filter(([, value]) => Array.isArray(value));
  const single = Object.entries(facts).flatMap(([name, value]): [string, unknown][] => {
    if (Array.isArray(value)) return [];
    return isRow(value)
      ? Object.entries(value).map(([inner, part]) => [`${name}.${inner}`, part])
      : [[name, value]];
  });
  const first = table(
    [title, ''],
    single.map(([name, value]) => [name, cellOf(value)]),
  );
  return [first, ...lists.map(([name, value]) => listOf(name, value))].join('\n\n');
}

function listOf(name: string, value: unknown): string {
  if (!isRows(value))
    return `${name}: ${Array.isArray(value) && value.length ? cellOf(value) : 'none'}`;
  const columns = [...new Set(value.flatMap(Object.keys))];
  const rows = value.map((row) => columns.map((column) => cellOf(row[column])));
  return `${name}\n${table(columns, rows)}`;
}
