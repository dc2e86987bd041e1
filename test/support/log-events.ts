import type { Checkpoint } from '../../lib/order/checkpoints.ts';
import type { LogEvent, OrderImage } from '../../lib/order/log-events.ts';

/** A transaction of the order system, as it is to stand in a binlog. */
export interface Written {
  /** Status changes: order and what it became. */
  readonly rows: readonly (readonly [order: number, status: string])[];
  readonly how: 'commit' | 'ddl' | 'xa' | 'xa one phase' | 'xa rolled back';
  /** The binlog goes on in a new file behind it. */
  readonly rotates?: boolean;
}

const serverUuid = '11111111-1111-1111-1111-111111111111';
const firstFile = 'binlog.000001';
const headerEnd = 157;

export const beginning = (gtids: boolean): Checkpoint => ({
  ...{ serverUuid, gtidSet: gtids ? '' : null, file: firstFile, position: headerEnd },
  ...{ open: null, atMs: null },
});

export const imageOf = (order: number, status: string): OrderImage => ({
  ...{ order_id: String(order), patient_id: String(1000 + order), nurse_id: '55' },
  ...{ status, changed_by: 'nurse' },
});

/** An event, and where in its file it begins. */
export type Recorded = LogEvent & { readonly file: string; readonly at: number };

const eventBytes = 50;
/** A row event of MySQL holds as many rows as fit into 8 kB. */
const rowsPerEventMax = 3;

/** What a binlog says of transactions, event by event, as decoding.ts hands them over. */
export function recordedOf(transactions: readonly Written[], gtids: boolean): Recorded[] {
  const all: Recorded[] = [];
  let [file, at, number] = [1, headerEnd, 0];
  const name = () => `binlog.${String(file).padStart(6, '0')}`;
  const add = (event: object) => {
    all.push({
      position: at + eventBytes,
      atMs: 1000 * all.length,
      ...event,
      file: name(),
      at,
    } as never);
    at += eventBytes;
  };
  const statuses = new Map<number, string>();
  const begin = () => {
    number += 1;
    add({ kind: 'transaction', gtid: gtids ? `${serverUuid}:${number}` : null });
  };
  for (const { rows, how, rotates } of transactions) {
    const xid = `X'${number}',X'',1`;
    begin();
    if (how === 'ddl') add({ kind: 'statement', schema: '', sql: 'alter table' });
    else add(how === 'commit' ? { kind: 'begin' } : { kind: 'xa start', xid });
    const changes = how === 'ddl' ? [] : rows.map(([order, status]) => changeOf(order, status));
    for (let start = 0; start < changes.length; start += rowsPerEventMax)
      add({ kind: 'rows', changes: changes.slice(start, start + rowsPerEventMax) });
    if (how === 'commit') add({ kind: 'end' });
    if (how === 'xa one phase') add({ kind: 'xa one phase' });
    if (how === 'xa' || how === 'xa rolled back') {
      add({ kind: 'xa prepared' });
      begin();
      add({ kind: how === 'xa' ? 'xa committed' : how, xid });
    }
    if (!rotates) continue;
    file += 1;
    all.push({ kind: 'file', file: name(), position: 4, at: 4 });
    at = 4;
    add({ kind: 'header', position: headerEnd });
    at = headerEnd;
  }
  return all;

  function changeOf(order: number, status: string) {
    const before = statuses.get(order) ?? 'PAYING';
    statuses.set(order, status);
    return { before: imageOf(order, before), after: imageOf(order, status), atMs: 0 };
  }
}

/** What a server sends of it to one who reads from a place on. */
export const sentFrom = (
  recorded: readonly Recorded[],
  { file, position }: Pick<Checkpoint, 'file' | 'position'>,
): Recorded[] => {
  const first = { kind: 'file', file, position, at: position } as const;
  const rest = recorded.filter(
    (event) =>
      event.file > file || (event.file === file && event.at >= position && event.kind !== 'file'),
  );
  return [first, ...rest];
};
