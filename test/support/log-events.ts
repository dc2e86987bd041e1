import { GtidSet } from '@vlasky/zongji';
import type { Checkpoint } from '../../lib/order/checkpoints.ts';
import type { LogEvent, OrderImage, RowChange } from '../../lib/order/decoding/log-events.ts';

/** A transaction of the order system, as it is to stand in a binlog. */
export interface Written {
  /** Status changes: order and what it became. */
  readonly rows: readonly (readonly [order: number, status: string])[];
  readonly how: 'commit' | 'ddl' | 'xa' | 'xa one phase' | 'xa rolled back';
  /** What is prepared is committed, or rolled back, behind so many further transactions. */
  readonly later?: number;
  /** The binlog goes on in a new file behind it. */
  readonly rotates?: boolean;
}

/** A server that writes a binlog of its own, whatever others call the same transactions. */
export interface Writer {
  readonly uuid: string;
  readonly gtids: boolean;
  readonly firstFile: number;
  readonly eventBytes: number;
  /** After so many transactions it begins a file, if it does not anyway. */
  readonly flushedAfter?: number;
}

/** Where transactions came about; replicas keep its GTIDs. */
const origin = '11111111-1111-1111-1111-111111111111';
export const source: Writer = { uuid: origin, gtids: true, firstFile: 20, eventBytes: 50 };
/**
 * A replica that takes the source's place after it has `written`. What follows it writes to a file with the name of the
 * source's first: the same places hold other transactions.
 */
export const replicaAfter = (written: readonly Written[]): Writer => {
  const files = written.filter(({ rotates }, index) => rotates || index === written.length - 1);
  return {
    uuid: '22222222-2222-2222-2222-222222222222',
    gtids: true,
    firstFile: source.firstFile - files.length,
    eventBytes: source.eventBytes,
    flushedAfter: written.length,
  };
};

const headerEnd = 157;
const nameOf = (file: number) => `binlog.${String(file).padStart(6, '0')}`;

export const beginning = ({ uuid, gtids, firstFile }: Writer): Checkpoint => ({
  serverUuid: uuid,
  gtidSet: gtids ? '' : null,
  file: nameOf(firstFile),
  position: headerEnd,
  open: null,
  atMs: null,
});

/** Orders with a row that is odd: an id that no message can name, and nobody as the patient. */
export const oddOrders = { unnamed: 0, withoutPatient: 4 } as const;
const tooLarge = String(2n ** 63n);

const imageOf = (order: number, status: string): OrderImage => ({
  order_id: order === oddOrders.unnamed ? tooLarge : String(order),
  patient_id: order === oddOrders.withoutPatient ? null : String(1000 + order),
  nurse_id: '55',
  status,
  changed_by: 'nurse',
});

/** An event, where it begins, and the number of its transaction. */
export type Recorded = LogEvent & {
  readonly file: string;
  readonly at: number;
  readonly number: number;
};

/** A row event of MySQL holds as many rows as fit into 8 kB. */
const rowsPerEventMax = 3;

/** What a binlog says of transactions, event by event, as decoding.ts hands them over. */
export function recordedOf(transactions: readonly Written[], writer: Writer): Recorded[] {
  const all: Recorded[] = [];
  let [file, at, number] = [writer.firstFile, headerEnd, 0];
  const add = (event: object, bytes = writer.eventBytes) => {
    const place = { position: at + bytes, atMs: 1000 * all.length };
    all.push({ ...place, ...event, file: nameOf(file), at, number } as never);
    at += bytes;
  };
  const begin = () => {
    number += 1;
    add({ kind: 'transaction', gtid: writer.gtids ? `${origin}:${number}` : null });
  };
  const statuses = new Map<number, string>();
  let prepared: { readonly kind: string; readonly xid: string; left: number }[] = [];

  function write(transaction: Written): void {
    begin();
    if (transaction.how === 'ddl') add({ kind: 'statement', schema: '', sql: 'alter table' });
    else writeRows(transaction);
  }

  function writeRows({ rows, how, later = 0 }: Written): void {
    const xid = `X'${number}',X'',1`;
    add(how === 'commit' ? { kind: 'begin' } : { kind: 'xa start', xid });
    const changes = rows.map(([order, status]) => {
      const before = statuses.get(order) ?? 'PAYING';
      statuses.set(order, status);
      return { before: imageOf(order, before), after: imageOf(order, status), atMs: 0 };
    });
    for (let start = 0; start < changes.length; start += rowsPerEventMax)
      add({ kind: 'rows', changes: changes.slice(start, start + rowsPerEventMax) });
    if (how === 'commit') add({ kind: 'end' });
    else if (how === 'xa one phase') add({ kind: how });
    else {
      add({ kind: 'xa prepared' });
      prepared.push({ kind: how === 'xa' ? 'xa committed' : how, xid, left: later + 1 });
    }
  }

  function finishPrepared(): void {
    for (const one of prepared) one.left -= 1;
    for (const { kind, xid } of prepared.filter(({ left }) => left === 0)) {
      begin();
      add({ kind, xid });
    }
    prepared = prepared.filter(({ left }) => left > 0);
  }

  for (const [index, transaction] of transactions.entries()) {
    write(transaction);
    finishPrepared();
    if (!transaction.rotates && index + 1 !== writer.flushedAfter) continue;
    file += 1;
    at = 4;
    all.push({ kind: 'file', file: nameOf(file), position: 4, at, number });
    add({ kind: 'header' }, headerEnd - 4);
  }
  return all;
}

/** What a server sends of it to one who reads from a place of its own on. */
export function sentFrom(
  recorded: readonly Recorded[],
  { file, position }: Pick<Checkpoint, 'file' | 'position'>,
): LogEvent[] {
  const rest = recorded.filter(
    (event) => event.file > file || (event.file === file && event.at >= position),
  );
  const first: LogEvent = { kind: 'file', file, position };
  return [first, ...rest.filter((event) => event.kind !== 'file' || event.file !== file)];
}

/** What it sends to one who names the transactions that he has. */
export function sentBeyond(recorded: readonly Recorded[], gtidSet: string): LogEvent[] {
  const have = GtidSet.parse(gtidSet);
  const news = recorded.filter(({ kind, number }) => {
    const placing = kind === 'file' || kind === 'header';
    return placing || !have.contains(`${origin}:${number}`);
  });
  const [first] = recorded;
  return first ? [{ kind: 'file', file: first.file, position: 4 }, ...news] : [];
}

/** The changes that count, in the order in which they came to count. */
export function countingIn(recorded: readonly Recorded[]): RowChange[] {
  const counting: RowChange[] = [];
  const prepared = new Map<string, RowChange[]>();
  let [rows, xid]: [RowChange[], string] = [[], ''];
  for (const event of recorded) {
    if (event.kind === 'transaction') rows = [];
    if (event.kind === 'xa start') xid = event.xid;
    if (event.kind === 'rows') rows.push(...event.changes);
    if (event.kind === 'end' || event.kind === 'xa one phase') counting.push(...rows);
    if (event.kind === 'xa prepared') prepared.set(xid, rows);
    if (event.kind === 'xa committed') counting.push(...(prepared.get(event.xid) ?? []));
  }
  return counting;
}
