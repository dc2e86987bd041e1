import type {
  AnyBinlogEvent,
  BinlogEventByTypeName,
  BinlogEventTypeName,
  RowData,
  TableMapEntry,
  TableMapEvent,
} from '@vlasky/zongji';
import { cutTo } from '../platform/cut.ts';
import { effectOf, orderTable, type Routes, type Statement } from './indirect-writes.ts';
import type { LogEvent, OrderImage, RowChange } from './log-events.ts';
import { committedAtMs, databasesOf, loadStatementOf, type RawEvent } from './raw-events.ts';
import { tokensOf, wordsOf } from './statements.ts';

const tableName = `${orderTable.schema}.${orderTable.table}`;

const columns = ['order_id', 'patient_id', 'nurse_id', 'status', 'changed_by'] as const;

type RowsEvent = BinlogEventByTypeName<'WriteRows' | 'UpdateRows' | 'DeleteRows'> & {
  /** Which columns the images hold, a bit each; zongji shows it without naming it in its types. */
  readonly columns_present_bitmap?: Buffer;
  readonly columns_present_bitmap2?: Buffer;
};

const is = <Name extends BinlogEventTypeName>(
  event: AnyBinlogEvent,
  name: Name,
): event is BinlogEventByTypeName<Name> => event.getTypeName() === name;

/**
 * What an event of zongji means to us; `raw` is the same event as the server sent it. Throws where
 * its rows could be understood wrongly.
 */
export function logEventsOf(
  event: AnyBinlogEvent,
  raw: RawEvent | undefined,
  routes: Routes,
): LogEvent[] {
  const { nextPosition: position, timestamp: atMs } = event;
  if (is(event, 'Gtid')) return [transactionOf(event.gtid ?? null, position, raw)];
  if (is(event, 'AnonymousGtid')) return [transactionOf(null, position, raw)];
  if (is(event, 'Xid')) return [{ kind: 'end', position, atMs }];
  if (is(event, 'Query')) {
    const { query: sql, schema } = event;
    return ofQuery({ sql, schema, databases: raw && databasesOf(raw) }, routes, position, atMs);
  }
  if (is(event, 'XaPrepare'))
    return [{ kind: event.onePhase ? 'xa one phase' : 'xa prepared', position, atMs }];
  if (is(event, 'Rotate'))
    return [{ kind: 'file', file: event.binlogName, position: Number(event.position) }];
  if (is(event, 'PreviousGtids')) return [{ kind: 'header', position, gtids: event.gtidSet }];
  if (is(event, 'TableMap')) {
    checkTable(event);
    return [];
  }
  if (is(event, 'WriteRows')) {
    const { tableMap } = checkedRows(event);
    return rowsOf(
      event.rows.map((row) => ({ before: null, after: image(row, tableMap) })),
      atMs,
    );
  }
  if (is(event, 'DeleteRows')) {
    const { tableMap } = checkedRows(event);
    return rowsOf(
      event.rows.map((row) => ({ before: image(row, tableMap), after: null })),
      atMs,
    );
  }
  if (is(event, 'UpdateRows')) {
    const { tableMap } = checkedRows(event);
    const changes = event.rows.map(({ before, after }) => ({
      before: image(before, tableMap),
      after: image(after, tableMap),
    }));
    return rowsOf(changes, atMs);
  }
  return [];
}

function transactionOf(gtid: string | null, position: number, raw: RawEvent | undefined): LogEvent {
  const committed = raw && committedAtMs(raw);
  const at = committed === undefined ? {} : { committedAtMs: committed };
  return { kind: 'transaction', gtid, position, ...at };
}

/** LOAD DATA as a statement, which zongji does not know. Throws where it changes orders. */
export const checkLoad = (raw: RawEvent, checksums: boolean, routes: Routes): void =>
  void checkStatement(loadStatementOf(raw, checksums), routes);

const rowsOf = (changes: readonly Omit<RowChange, 'atMs'>[], atMs: number): LogEvent[] => [
  { kind: 'rows', changes: changes.map((change) => ({ ...change, atMs })) },
];

/** `XA COMMIT X'6f6e65',X'',1`: the server writes the name alike in all four statements. */
const xa = /^XA (START|END|COMMIT|ROLLBACK) (.*)/is;

function ofQuery(statement: Statement, routes: Routes, position: number, atMs: number): LogEvent[] {
  const { schema } = statement;
  const sql = statement.sql.trim();
  if (/^BEGIN$/i.test(sql)) return [{ kind: 'begin' }];
  if (/^(COMMIT|ROLLBACK)$/i.test(sql)) return [{ kind: 'end', position, atMs }];
  const [, verb, xid = ''] = xa.exec(sql) ?? [];
  switch (verb?.toUpperCase()) {
    case 'START':
      return [{ kind: 'xa start', xid }];
    case 'END':
      return [];
    case 'COMMIT':
      return [{ kind: 'xa committed', xid, position, atMs }];
    case 'ROLLBACK':
      return [{ kind: 'xa rolled back', xid, position, atMs }];
    default:
      if (beginsTransaction(sql)) return [{ kind: 'begin' }];
      return [
        {
          ...{ kind: 'statement', schema, sql, position, atMs },
          ...(checkStatement(statement, routes) === 'unclear' && { unclear: true }),
        },
      ];
  }
}

/** CREATE TABLE … SELECT: its rows follow. https://dev.mysql.com/doc/refman/8.0/en/atomic-ddl.html */
function beginsTransaction(sql: string): boolean {
  if (!/START TRANSACTION$/i.test(sql)) return false;
  const tokens = tokensOf(sql);
  const [first, second, third] = wordsOf(tokens);
  const isTable = second === 'table' || (second === 'temporary' && third === 'table');
  return first === 'create' && isTable && tokens.at(-1)?.value === 'transaction';
}

/** A session may write statements instead of rows; what one does to orders cannot be known from it. */
function checkStatement(statement: Statement, routes: Routes): 'none' | 'unclear' {
  const effect = effectOf(statement, routes);
  if (effect !== 'changes orders') return effect;
  throw new Error(
    `${tableName} was changed by a statement, not by rows: let nobody set binlog_format for a session. ${howToPass} It was: ${cutTo(statement.sql.trim(), statementLengthMax)}`,
  );
}

const statementLengthMax = 200;

/** For what is in the binlog already and cannot be read. */
const howToPass = 'Run order/repair-gap with "pass": true to go on behind it.';

const encodings = /^(ucs2|utf16|utf16le|utf32)$/;

/** The names of columns must come from the event itself: the table may have changed since. */
function checkTable(event: TableMapEvent): void {
  if (!event.hasSelfDescribingMetadata())
    throw new Error(
      `The binlog does not name the columns of ${tableName}: set binlog_row_metadata=FULL. ${howToPass}`,
    );
  const map = event.tableMap[event.tableId];
  const missing = columns.filter((name) => !event.columnNames?.includes(name));
  if (!map || missing.length)
    throw new Error(
      `${tableName} has no column ${missing.join(', ')}: dropped or renamed upstream. ${howToPass}`,
    );
  for (const column of map.columns ?? []) {
    const wanted = columns.some((name) => name === column.name);
    if (wanted && encodings.test(column.charset ?? ''))
      throw new Error(
        `${tableName}.${column.name} has the charset ${column.charset}, not ASCII's.`,
      );
    // Of the texts that we look at all are ASCII; the others need no table of their charset.
    if (column.charset) column.charset = 'utf8mb4';
  }
}

interface Images {
  readonly tableMap: TableMapEntry;
}

function checkedRows(event: RowsEvent): Images {
  const tableMap = event.tableMap[event.tableId];
  if (!tableMap) throw new Error(`Rows of ${tableName} came without a description of its columns.`);
  const bitmaps = [event.columns_present_bitmap, event.columns_present_bitmap2];
  for (const name of columns) {
    const index = tableMap.columnSchemas.findIndex(({ COLUMN_NAME }) => COLUMN_NAME === name);
    for (const bitmap of bitmaps)
      if (bitmap && !((bitmap[index >> 3] ?? 0) & (1 << (index & 7))))
        throw new Error(
          `A change of ${tableName} came without ${name}: set binlog_row_image=FULL.`,
        );
  }
  return { tableMap };
}

/** The longest status that is kept; all that scenarios name are shorter. */
const statusLengthMax = 255;
export const shortStatus = (status: string): string => cutTo(status, statusLengthMax);

/** A status or actor that is null matches no scenario, as an empty one does. */
function image(row: RowData, { tableName: table }: TableMapEntry): OrderImage {
  const text = (name: string): string => {
    const value = row[name];
    if (value === null || value === undefined) return '';
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint')
      return String(value);
    throw new Error(`${table}.${name} has another type than it should: ${typeof value}.`);
  };
  return {
    order_id: text('order_id'),
    patient_id: row['patient_id'] === null ? null : text('patient_id'),
    nurse_id: row['nurse_id'] === null ? null : text('nurse_id'),
    status: shortStatus(text('status')),
    changed_by: text('changed_by'),
  };
}
