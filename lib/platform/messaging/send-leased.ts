/** Sends leased rows of the outbox and decides what happens to those that were not sent. */
import type { Kysely } from 'kysely';
import { isUnavailable, textOf } from '../errors.ts';
import { reportFailure } from '../lambda/log.ts';
import { mask } from '../lambda/mask.ts';
import type { PlatformTables } from '../tables.ts';
import { bodiesOf, type LeasedRow, type RefusedRow, recordRefusals } from './due-rows.ts';
import { type Deliver, deliverRows, type OutboxRow } from './outbox.ts';
import { isForbidden, isMissingQueue, messageBytesMax, tooLarge, whyUnsendable } from './send.ts';

/** What large bodies of a portion may have together, so that a portion of them fits into memory. */
const bytesAtOnceMax = 8 * 1_048_576;
/** Ids that one line of the log names. */
const namedMax = 20;

interface Deps {
  readonly mysql: Kysely<PlatformTables>;
  readonly deliver: Deliver;
}

/**
 * Sends rows of one destination that were taken, and deletes what was accepted. A row that is refused for a reason of
 * its own keeps the reason and waits for its own pause; what could not be sent because the destination is unavailable
 * only waits until its taking is over. `isStopped` says that the destination takes nothing at the moment.
 */
export async function sendLeased(
  { mysql, deliver }: Deps,
  rows: readonly LeasedRow[],
): Promise<{ readonly accepted: number; readonly isStopped: boolean }> {
  const refused: RefusedRow[] = [];
  let accepted = 0;
  let isStopped = false;
  for (const part of partsOf(rows, refused)) {
    const sent = await sendPart({ mysql, deliver }, await whole(mysql, part), refused);
    accepted += sent.accepted;
    isStopped = sent.isStopped;
    if (isStopped) break;
  }
  const [first] = refused;
  if (first) {
    await recordRefusals(mysql, refused);
    const ids = refused.slice(0, namedMax).map(({ row }) => row.id);
    const detail = { destination: rows[0]?.destination, rows: refused.length, ids };
    reportFailure('refused', detail, new Error(first.reason));
  }
  return { accepted, isStopped };
}

/** Small ones together, large ones by their bytes; those that are too large for any destination are refused. */
function partsOf(rows: readonly LeasedRow[], refused: RefusedRow[]): LeasedRow[][] {
  const small = rows.filter(({ body }) => body !== undefined);
  const parts = small.length ? [small] : [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    if (row.body !== undefined) continue;
    if (row.bytes > messageBytesMax) {
      refused.push({ row, reason: tooLarge(row.bytes) });
      continue;
    }
    bytes += row.bytes;
    if (bytes <= bytesAtOnceMax) parts.at(-1)?.push(row);
    else {
      parts.push([row]);
      bytes = row.bytes;
    }
  }
  return parts;
}

async function whole(
  mysql: Kysely<PlatformTables>,
  part: readonly LeasedRow[],
): Promise<OutboxRow[]> {
  const rows = part.flatMap(({ body, ...row }) => (body === undefined ? [] : [{ ...row, body }]));
  return rows.length ? rows : await bodiesOf(mysql, part);
}

async function sendPart({ mysql, deliver }: Deps, rows: OutboxRow[], refused: RefusedRow[]) {
  const sendable = rows.filter((row) => {
    const why = row.destination.startsWith('queue:')
      ? whyUnsendable({ MessageBody: row.body })
      : undefined;
    if (why !== undefined) refused.push({ row, reason: why });
    return why === undefined;
  });
  if (!sendable.length) return { accepted: 0, isStopped: false };
  const errors = new Map<string, Error>();
  const sent = await deliverRows(mysql, deliver, sendable, ({ id }, error) => {
    errors.set(id, error);
  });
  const gone = new Set(sent.map(({ id }) => id));
  for (const row of sendable) {
    const error = errors.get(row.id);
    if (gone.has(row.id) || (error && isQueueUnavailable(error))) continue;
    refused.push({ row, reason: error ? reasonOf(error) : 'It was not accepted.' });
  }
  return { accepted: sent.length, isStopped: !sent.length && isOfAll(sendable, errors) };
}

function reasonOf(error: Error): string {
  const why = isUnreachable(error) ? 'No such queue of this deployment, or no permission: ' : '';
  return why + mask(textOf(error));
}

/** No such queue, or none that we may use, which AWS does not tell apart for a role that names its queues. */
const isUnreachable = (error: Error): boolean => isMissingQueue(error) || isForbidden(error);

/** The row is not to blame: the same may be sent a moment later. A queue that is not there may never come. */
const isQueueUnavailable = (error: Error): boolean => isUnavailable(error) && !isUnreachable(error);

/** One error for several rows is the destination's; what one row is refused for says nothing of the others. */
function isOfAll(rows: readonly OutboxRow[], errors: ReadonlyMap<string, Error>): boolean {
  const distinct = new Set(rows.map(({ id }) => errors.get(id)));
  if (rows.length > 1 && distinct.size === 1) return true;
  return [...distinct].some(
    (error) => error && (isQueueUnavailable(error) || isUnreachable(error)),
  );
}
