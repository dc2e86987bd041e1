/** Checks that the binlog of the order database can be read completely, and measures the reader's delay. */
import { type Kysely, sql } from 'kysely';
import type { OutcomeWord } from '../../platform/outcomes.ts';
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
  /** Returns whether the server answers itself, without a proxy. */
  readonly direct: () => Promise<boolean>;
  readonly pause: (ms: number) => Promise<void>;
  /** Returns why the events after a checkpoint cannot be read. Default: this is not checked. */
  readonly unreadable?: (checkpoint: Checkpoint) => Promise<string | undefined>;
}

/** The reader writes its checkpoint at least every ten seconds; this is how long its progress may take to show. */
const pollsMax = 15;
const pollEveryMs = 1_000;

/**
 * Checks that no change of an order can be missed, and measures how far the reader lags. `wrong` names
 * each problem with its remedy.
 */
export async function checkBinlog(deps: CheckDeps) {
  const { mysql, order, settings } = deps;
  const missing = await missingPrivileges(order);
  const wrong = [
    ...wrongSettings(await variables(order)),
    ...(await shortRetention(order, await settings())),
    ...missing,
    ...((await deps.direct()) ? [] : [proxied]),
  ];
  if (missing.length || wrong.includes(noBinlog)) return { outcome: 'unfit' as const, wrong };
  const checkpoint = await readCheckpoint(mysql);
  const fitness = (word: OutcomeWord): OutcomeWord => (wrong.length ? 'unfit' : word);
  if (!checkpoint) return { outcome: fitness('not-started'), wrong };
  const lost = await lostSince(order, checkpoint);
  const unreadable = lost ? undefined : await deps.unreadable?.(checkpoint);
  if (unreadable) wrong.push(unreadable);
  if (checkpoint.gtidSet === null && (await logState(order)).gtids) wrong.push(noGtids);
  const lag = await measureLag(deps);
  const { seconds, bytes } = lag;
  const measured = {
    'seconds behind': seconds,
    ...(bytes !== null && { 'bytes behind': bytes }),
    'oldest unsent push': await oldestUnsentSeconds(mysql),
  };
  const losses = [...(lost ? [lost] : []), ...(await missedTransactions(mysql))];
  if (losses.length)
    return { outcome: 'lost' as const, wrong: [...wrong, ...losses], ...lag, measured };
  return { outcome: fitness('fit'), wrong, ...lag, measured };
}

const noBinlog = 'log_bin is OFF: set log-bin and restart; on Aurora set binlog_format=ROW.';
const proxied = 'The connection goes through a proxy: name the cluster’s writer endpoint itself.';

const noGtids =
  'GTIDs are on, but the reader’s checkpoint has none yet, so a fail-over would lose it: run `flush binary logs`, and the reader stores them.';

type Variables = ReadonlyMap<string, string>;

/** Returns the values by name. Variables that this version of MySQL does not have are missing. */
async function variables(order: Kysely<OrderTables>): Promise<Variables> {
  const { rows } = await sql<{ Variable_name: string; Value: string }>`
    show global variables where variable_name in (${sql.join(Object.keys(expected))})`.execute(
    order,
  );
  return new Map(rows.map(({ Variable_name, Value }) => [Variable_name, Value]));
}

/** The required value of each variable, and the text for any other value. */
const expected: Readonly<Record<string, { readonly value: string; readonly otherwise: string }>> = {
  log_bin: { value: 'ON', otherwise: noBinlog },
  binlog_format: { value: 'ROW', otherwise: 'set it to ROW: statements do not show what changed.' },
  binlog_row_image: {
    value: 'FULL',
    otherwise: 'set it to FULL: a change must show status, actor and receivers.',
  },
  binlog_row_metadata: {
    value: 'FULL',
    otherwise: 'set it to FULL: without names, columns could be mixed up.',
  },
  binlog_row_value_options: {
    value: '',
    otherwise: 'set it to an empty value: partial updates of JSON cannot be read.',
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
    const actual = values.get(name) ?? (name === 'binlog_row_metadata' ? 'unknown' : value);
    if (actual === value) return [];
    return otherwise === noBinlog ? [otherwise] : [`${name} is ${actual}: ${otherwise}`];
  });
}

async function shortRetention(
  order: Kysely<OrderTables>,
  { retentionHoursMin: hoursMin }: Pick<OrderSettings, 'retentionHoursMin'>,
): Promise<string[]> {
  const { hours, set } = await retentionOf(order);
  if (hours === 'unknown') return [`The retention of the binlog cannot be read: ${set(hoursMin)}.`];
  return hours < hoursMin ? [`The binlog is kept ${hours} h: ${set(hoursMin)}.`] : [];
}

const missedMax = 20;

/** Returns a text for each XA transaction that was prepared before the reader's first checkpoint. */
async function missedTransactions(mysql: Kysely<PushTables>): Promise<string[]> {
  const rows = await mysql
    .selectFrom('push_db.missed_transaction')
    .select(['xid', 'place', 'committed_at'])
    .orderBy('committed_at')
    .limit(missedMax)
    .execute();
  return rows.map(
    ({ xid, place, committed_at }) =>
      `The XA transaction ${xid} was prepared before the reader's first checkpoint and committed at ${committed_at} (${place}): its changes were not read. Run order/repair-gap.`,
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
 * Measures how far the reader lags the present end of the binlog. It first waits for the reader to get
 * there, because without new events the age of the last one read says nothing.
 */
async function measureLag({ mysql, order, pause }: CheckDeps) {
  const end = await logState(order);
  for (let poll = 0; ; poll++) {
    const checkpoint = await readCheckpoint(mysql);
    if (!checkpoint || (await reached(order, checkpoint, end))) return { seconds: 0, bytes: 0 };
    if (poll < pollsMax) {
      await pause(pollEveryMs);
      continue;
    }
    const { rows } = await sql<{ seconds: string | number }>`
      select greatest(0, round(unix_timestamp(now(3)) - ${(checkpoint.atMs ?? 0) / 1000})) seconds`.execute(
      order,
    );
    const sameServer = checkpoint.serverUuid === end.uuid;
    const bytes = sameServer ? bytesBetween(await logFiles(order), checkpoint, end) : null;
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
