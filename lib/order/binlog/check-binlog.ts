import { type Kysely, sql } from 'kysely';
import { type Checkpoint, readCheckpoint } from '../checkpoints.ts';
import { grantsOf, isGranted } from '../grants.ts';
import { oldestUnsentSeconds } from '../pushes/oldest-unsent.ts';
import type { OrderSettings } from '../settings.ts';
import type { OrderTables, PushTables } from '../tables.ts';
import {
  isAtOrAfter,
  type LogFile,
  type LogState,
  locateCheckpoint,
  logFiles,
  logState,
  numberOf,
  Purged,
} from './binlog-position.ts';
import { retentionOf } from './retention.ts';

export interface CheckDeps {
  readonly mysql: Kysely<PushTables>;
  readonly order: Kysely<OrderTables>;
  readonly settings: () => Promise<Pick<OrderSettings, 'retentionHoursMin'>>;
  /** Whether no proxy stands before the server. */
  readonly direct: () => Promise<boolean>;
  readonly pause: (ms: number) => Promise<void>;
  /** Why what follows a place cannot be read; without it that is not tried. */
  readonly unreadable?: (checkpoint: Checkpoint) => Promise<string | undefined>;
}

/** The reader notes where it is every ten seconds at least; so long it may take to be seen there. */
const arrivalLooksMax = 15;
const lookAgainMs = 1_000;

/**
 * Whether the order database's binlog is such that no change of an order can be missed, and how far
 * behind it the reader is. Each thing that is wrong is named, with what to set.
 */
export async function checkBinlog(deps: CheckDeps) {
  const { mysql, order, settings } = deps;
  const refused = await missingPrivileges(order);
  const wrong = [
    ...wrongSettings(await variables(order)),
    ...(await shortRetention(order, await settings())),
    ...refused,
    ...((await deps.direct()) ? [] : [proxied]),
  ];
  if (refused.length || wrong.includes(noBinlog)) return { outcome: 'unfit', wrong };
  const checkpoint = await readCheckpoint(mysql);
  if (!checkpoint) return { outcome: wrong.length ? 'unfit' : 'not begun', wrong };
  const lost = await lostSince(order, checkpoint);
  const stopped = lost ? undefined : await deps.unreadable?.(checkpoint);
  if (stopped) wrong.push(stopped);
  if (checkpoint.gtidSet === null && (await logState(order)).gtids) wrong.push(noGtids);
  const behind = await behindOf(deps);
  const { seconds, bytes } = behind;
  const measured = {
    'seconds behind': seconds,
    ...(bytes !== null && { 'bytes behind': bytes }),
    'oldest unsent push': await oldestUnsentSeconds(mysql),
  };
  const losses = [...(lost ? [lost] : []), ...(await missedTransactions(mysql))];
  if (losses.length) return { outcome: 'lost', wrong: [...wrong, ...losses], ...behind, measured };
  return { outcome: wrong.length ? 'unfit' : 'fit', wrong, ...behind, measured };
}

const noBinlog = 'log_bin is OFF: set log-bin and restart; on Aurora set binlog_format=ROW.';
const proxied = 'A proxy stands before the server: name the cluster’s writer endpoint itself.';

const noGtids =
  'GTIDs are on, and the reader’s place has none yet, so it would be lost at a fail-over: flush binary logs, and it takes them up.';

type Variables = ReadonlyMap<string, string>;

/** By name; a variable that this version of MySQL does not know is absent. */
async function variables(order: Kysely<OrderTables>): Promise<Variables> {
  const { rows } = await sql<{ Variable_name: string; Value: string }>`
    show global variables where variable_name in (${sql.join(Object.keys(expected))})`.execute(
    order,
  );
  return new Map(rows.map(({ Variable_name, Value }) => [Variable_name, Value]));
}

/** What each must be, and why it matters where that is not plain. */
const expected: Readonly<Record<string, { readonly value: string; readonly otherwise: string }>> = {
  log_bin: { value: 'ON', otherwise: noBinlog },
  binlog_format: { value: 'ROW', otherwise: 'set it to ROW: statements do not show what changed.' },
  binlog_row_image: {
    value: 'FULL',
    otherwise: 'set it to FULL: a change must show status, actor and receivers.',
  },
  binlog_row_metadata: {
    value: 'FULL',
    otherwise: 'set it to FULL: else columns are not named, and could be taken for others.',
  },
  binlog_row_value_options: {
    value: '',
    otherwise: 'set it to nothing: partial updates of JSON cannot be read.',
  },
  binlog_transaction_compression: {
    value: 'OFF',
    otherwise: 'set it to OFF: compressed transactions cannot be read.',
  },
  read_only: { value: 'OFF', otherwise: 'this is a reader: name the writer’s endpoint.' },
  super_read_only: { value: 'OFF', otherwise: 'this is a reader: name the writer’s endpoint.' },
  innodb_read_only: { value: 'OFF', otherwise: 'this is a reader: name the writer’s endpoint.' },
};

function wrongSettings(values: Variables): string[] {
  return Object.entries(expected).flatMap(([name, { value, otherwise }]) => {
    const is = values.get(name) ?? (name === 'binlog_row_metadata' ? 'unknown' : value);
    if (is === value) return [];
    return otherwise === noBinlog ? [otherwise] : [`${name} is ${is}: ${otherwise}`];
  });
}

async function shortRetention(
  order: Kysely<OrderTables>,
  { retentionHoursMin: hoursMin }: Pick<OrderSettings, 'retentionHoursMin'>,
): Promise<string[]> {
  const { hours, set } = await retentionOf(order);
  if (hours === 'unknown')
    return [`It cannot be seen for how long the binlog is kept: ${set(hoursMin)}.`];
  return hours < hoursMin ? [`The binlog is kept ${hours} h: ${set(hoursMin)}.`] : [];
}

const missedMax = 20;

/** Transactions that the reader could not know when they were prepared. */
async function missedTransactions(mysql: Kysely<PushTables>): Promise<string[]> {
  const rows = await mysql
    .selectFrom('push_db.missed_transaction')
    .select(['xid', 'place', 'committed_at'])
    .orderBy('committed_at')
    .limit(missedMax)
    .execute();
  return rows.map(
    ({ xid, place, committed_at }) =>
      `The XA transaction ${xid} was prepared before the place at which the reader began, and committed at ${committed_at} (${place}): what it changed was not read. Run order/repair-gap.`,
  );
}

async function missingPrivileges(order: Kysely<OrderTables>): Promise<string[]> {
  const grants = await grantsOf(order);
  const missing = ['REPLICATION SLAVE', 'REPLICATION CLIENT'].filter(
    (name) => !isGranted(grants, name),
  );
  return [
    ...missing.map(
      (name) => `${name} is not granted: grant ${name.toLowerCase()} on *.* to our user.`,
    ),
    ...((await mayRead(order)) ? [] : [notReadable]),
  ];
}

const notReadable =
  'SELECT is not granted: grant select on order_db.order to our user; order/repair-gap needs it.';
const refusals = new Set([1044, 1142, 1143]);

async function mayRead(order: Kysely<OrderTables>): Promise<boolean> {
  try {
    await order.selectFrom('order_db.order').select('order_id').limit(1).execute();
    return true;
  } catch (error) {
    if (error instanceof Error && 'errno' in error && refusals.has(Number(error.errno)))
      return false;
    throw error;
  }
}

async function lostSince(
  order: Kysely<OrderTables>,
  checkpoint: Checkpoint,
): Promise<string | undefined> {
  try {
    await locateCheckpoint(order, checkpoint);
    return undefined;
  } catch (error) {
    if (error instanceof Purged) return error.message;
    throw error;
  }
}

/**
 * How far the reader is behind where the server stands now. It is given the time to get there: the
 * age of what it read last says nothing while nothing happened in between.
 */
async function behindOf({ mysql, order, pause }: CheckDeps) {
  const end = await logState(order);
  for (let look = 0; ; look++) {
    const checkpoint = await readCheckpoint(mysql);
    if (!checkpoint || (await reached(order, checkpoint, end))) return { seconds: 0, bytes: 0 };
    if (look < arrivalLooksMax) {
      await pause(lookAgainMs);
      continue;
    }
    const { rows } = await sql<{ seconds: string | number }>`
      select greatest(0, round(unix_timestamp(now(3)) - ${(checkpoint.atMs ?? 0) / 1000})) seconds`.execute(
      order,
    );
    const here = checkpoint.serverUuid === end.uuid;
    const bytes = here ? bytesBetween(await logFiles(order), checkpoint, end) : null;
    return { seconds: Number(rows[0]?.seconds ?? 0), bytes };
  }
}

async function reached(
  order: Kysely<OrderTables>,
  checkpoint: Checkpoint,
  end: LogState,
): Promise<boolean> {
  if (checkpoint.serverUuid === end.uuid) return isAtOrAfter(checkpoint, end);
  const { rows } = await sql<{ all: number | string }>`
    select gtid_subset(${end.gtids?.executed ?? ''}, ${checkpoint.gtidSet ?? ''}) \`all\``.execute(
    order,
  );
  return Number(rows[0]?.all) === 1;
}

function bytesBetween(files: readonly LogFile[], from: Checkpoint, to: LogState): number {
  const [first, last] = [numberOf(from.file), numberOf(to.file)];
  const between = files.filter(({ file }) => numberOf(file) >= first && numberOf(file) < last);
  const whole = between.reduce((sum, { bytes }) => sum + bytes, 0);
  return Math.max(0, whole + to.position - from.position);
}
