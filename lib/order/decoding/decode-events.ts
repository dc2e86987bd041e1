/** Translates events of zongji into the events that the reader understands. No I/O. */
import type {
  AnyBinlogEvent,
  BinlogEventByTypeName,
  BinlogEventTypeName,
  RowData,
  TableMapEntry,
  TableMapEvent,
} from '@vlasky/zongji';
import { cutTo } from '../../platform/cut.ts';
import { effectOf, orderTable, type Routes, type Statement } from './indirect-writes.ts';
import type { LogEvent, OrderImage, RowChange } from './log-events.ts';
import { committedAtMs, databasesOf, loadStatementOf, type RawEvent } from './raw-events.ts';
import { tokensOf, wordsOf } from './statements.ts';

const tableName = `${orderTable.schema}.${orderTable.table}`;

const columns = ['order_id', 'patient_id', 'nurse_id', 'status', 'changed_by'] as const;

type RowsEvent = BinlogEventByTypeName<'WriteRows' | 'UpdateRows' | 'DeleteRows'> & {
  /** One bit per column that the row images contain; zongji has these fields, but not in its types. */
  readonly columns_present_bitmap?: Buffer;
  readonly columns_present_bitmap2?: Buffer;
};

const is = <Name extends BinlogEventTypeName>(
  event: AnyBinlogEvent,
  name: Name,
): event is BinlogEventByTypeName<Name> => event.getTypeName() === name;

/**
 * Translates one event of zongji; `raw` is the same event as the server sent it. Throws if its rows
 * could be misinterpreted.
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

/** Checks a LOAD DATA statement, an event that zongji does not know. Throws if it changes orders. */
export const checkLoad = (raw: RawEvent, checksums: boolean, routes: Routes): void =>
  void checkStatement(loadStatementOf(raw, checksums), routes);

const rowsOf = (changes: readonly Omit<RowChange, 'atMs'>[], atMs: number): LogEvent[] => [
  { kind: 'rows', changes: changes.map((change) => ({ ...change, atMs })) },
];

/** `XA COMMIT X'6f6e65',X'',1`: the server formats the xid identically in all four statements. */
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
          kind: 'statement',
          schema,
          sql,
          position,
          atMs,
          ...(checkStatement(statement, routes) === 'unclear' && { unclear: true }),
        },
      ];
  }
}

/** Recognises CREATE TABLE … SELECT, whose rows follow as events. https://dev.mysql.com/doc/refman/8.0/en/atomic-ddl.html */
function beginsTransaction(sql: string): boolean {
  if (!/START TRANSACTION$/i.test(sql)) return false;
  const tokens = tokensOf(sql);
  const [first, second, third] = wordsOf(tokens);
  const isTable = second === 'table' || (second === 'temporary' && third === 'table');
  return first === 'create' && isTable && tokens.at(-1)?.value === 'transaction';
}

/** Throws if a statement changes orders: a session may log statements instead of rows, which do not show the change. */
function checkStatement(statement: Statement, routes: Routes): 'none' | 'unclear' {
  const effect = effectOf(statement, routes);
  if (effect !== 'changes orders') return effect;
  throw new Error(
    `${tableName} was changed by a statement instead of rows: no session may set binlog_format. ${howToSkip} It was: ${cutTo(statement.sql.trim(), statementLengthMax)}`,
  );
}

const statementLengthMax = 200;

/** The remedy for events that are in the binlog already and cannot be read. */
const howToSkip = 'Run order/repair-gap with "pass": true to skip it.';

const encodings = /^(ucs2|utf16|utf16le|utf32)$/;

/** Checks the columns. Their names must come from the event, because the table may have changed since. */
function checkTable(event: TableMapEvent): void {
  if (!event.hasSelfDescribingMetadata())
    throw new Error(
      `The binlog does not name the columns of ${tableName}: set binlog_row_metadata=FULL. ${howToSkip}`,
    );
  const map = event.tableMap[event.tableId];
  const missing = columns.filter((name) => !event.columnNames?.includes(name));
  if (!map || missing.length)
    throw new Error(
      `${tableName} has no column ${missing.join(', ')}: dropped or renamed upstream. ${howToSkip}`,
    );
  for (const column of map.columns ?? []) {
    const isRead = columns.some((name) => name === column.name);
    if (isRead && encodings.test(column.charset ?? ''))
      throw new Error(
        `${tableName}.${column.name} has the charset ${column.charset}: the reader needs one that contains ASCII.`,
      );
    // All texts that are read are ASCII, so zongji need not load the tables of other charsets.
    if (column.charset) column.charset = 'utf8mb4';
  }
}

interface CheckedRows {
  readonly tableMap: TableMapEntry;
}

function checkedRows(event: RowsEvent): CheckedRows {
  const tableMap = event.tableMap[event.tableId];
  if (!tableMap)
    throw new Error(`The binlog has rows of ${tableName} without a description of its columns.`);
  const bitmaps = [event.columns_present_bitmap, event.columns_present_bitmap2];
  for (const name of columns) {
    const index = tableMap.columnSchemas.findIndex(({ COLUMN_NAME }) => COLUMN_NAME === name);
    for (const bitmap of bitmaps)
      if (bitmap && !((bitmap[index >> 3] ?? 0) & (1 << (index & 7))))
        throw new Error(
          `The binlog has a change of ${tableName} without ${name}: set binlog_row_image=FULL.`,
        );
  }
  return { tableMap };
}

/** Longer statuses are cut when stored; all statuses of scenarios are shorter. */
const statusLengthMax = 255;
export const shortStatus = (status: string): string => cutTo(status, statusLengthMax);

/** Returns the image of a row. Null becomes an empty status or actor, which matches no scenario. */
function image(row: RowData, { tableName: table }: TableMapEntry): OrderImage {
  const text = (name: string): string => {
    const value = row[name];
    if (value === null || value === undefined) return '';
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint')
      return String(value);
    throw new Error(`${table}.${name} has an unexpected type: ${typeof value}.`);
  };
  return {
    order_id: text('order_id'),
    patient_id: row['patient_id'] === null ? null : text('patient_id'),
    nurse_id: row['nurse_id'] === null ? null : text('nurse_id'),
    status: shortStatus(text('status')),
    changed_by: text('changed_by'),
  };
}
