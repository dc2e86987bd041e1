import { type Kysely, sql } from 'kysely';
import type { Checkpoint } from '../checkpoints.ts';
import type { OrderTables } from '../tables.ts';

/** What a server says about its binlog at one moment. */
export interface LogState {
  readonly uuid: string;
  /** Where the next event will stand. */
  readonly file: string;
  readonly position: number;
  /** Null where the server gives no GTIDs. */
  readonly gtids: { readonly executed: string; readonly purged: string } | null;
}

export async function logState(order: Kysely<OrderTables>): Promise<LogState> {
  const [status] = await statusOf(order);
  if (!status) throw new Error('The server writes no binlog: set log_bin=ON.');
  const { rows } = await sql<{ uuid: string; mode: string; purged: string }>`
    select @@server_uuid uuid, @@gtid_mode mode, @@global.gtid_purged purged`.execute(order);
  const [{ uuid, mode, purged } = { uuid: '', mode: '', purged: '' }] = rows;
  const executed = withoutSpace(status.Executed_Gtid_Set);
  return {
    uuid,
    file: status.File,
    position: Number(status.Position),
    gtids: mode === 'ON' ? { executed, purged: withoutSpace(purged) } : null,
  };
}

interface Status {
  readonly File: string;
  readonly Position: string | number;
  readonly Executed_Gtid_Set: string;
}

/** MySQL 8.4 knows the old name no more, 8.0 not yet the new one. */
async function statusOf(order: Kysely<OrderTables>): Promise<readonly Status[]> {
  const parse = 1064;
  try {
    return (await sql<Status>`show master status`.execute(order)).rows;
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error && error.errno === parse)) throw error;
    return (await sql<Status>`show binary log status`.execute(order)).rows;
  }
}

/** MySQL breaks long sets into lines. */
const withoutSpace = (set: string): string => set.replaceAll(/\s/g, '');

/** `binlog.000009` comes before `binlog.000010`, and `binlog.999999` before `binlog.1000000`. */
export const numberOf = (file: string): number => Number(file.slice(file.lastIndexOf('.') + 1));

/** Whether a place of the same server is at or behind another. */
export function isAtOrAfter(
  place: Pick<LogState, 'file' | 'position'>,
  other: typeof place,
): boolean {
  const files = numberOf(place.file) - numberOf(other.file);
  return files > 0 || (files === 0 && place.position >= other.position);
}

export interface LogFile {
  readonly file: string;
  readonly bytes: number;
}

export async function logFiles(order: Kysely<OrderTables>): Promise<LogFile[]> {
  const { rows } = await sql<{ Log_name: string; File_size: string | number }>`
    show binary logs`.execute(order);
  return rows.map(({ Log_name: file, File_size }) => ({ file, bytes: Number(File_size) }));
}

/** How a checkpoint is found again in a server's binlog. */
export interface ResumePoint {
  readonly from: Checkpoint;
  readonly by: 'position' | 'gtids';
  /** There was no checkpoint: what is in the binlog already is not read. */
  readonly firstRun?: true;
  /** Transactions that were read, and that a fail-over has lost upstream. */
  readonly lostUpstream?: string;
}

/** The binlog does not reach back to the checkpoint: an unknown number of changes was not read. */
export class Purged extends Error {
  override readonly name = 'Purged';
  /** GTIDs, or from where to where the files are missing. */
  readonly lost: string;

  constructor(lost: string, why: string) {
    super(
      `${why} Lost: ${lost}. Run order/repair-gap: it compares all orders with what was last seen of
them, and then the reader goes on (docs/runbooks/binlog-lost.md).`.replaceAll(/\s+/g, ' '),
    );
    this.lost = lost;
  }
}

export const endOf = ({ uuid, file, position, gtids }: LogState): Checkpoint => ({
  ...{ serverUuid: uuid, gtidSet: gtids?.executed ?? null },
  ...{ file, position, open: null, atMs: null },
});

/** Throws `Purged` where something after the checkpoint is no longer there to be read. */
export async function locateCheckpoint(
  order: Kysely<OrderTables>,
  checkpoint: Checkpoint | undefined,
): Promise<ResumePoint> {
  const state = await logState(order);
  if (!checkpoint) return { from: endOf(state), by: 'position', firstRun: true };
  const files = await logFiles(order);
  const here = state.uuid === checkpoint.serverUuid;
  const file = files.find((one) => one.file === checkpoint.file);
  const inFile = here && file !== undefined && checkpoint.position <= file.bytes;
  if (state.gtids && checkpoint.gtidSet !== null) {
    const lost = await compare(order, state, checkpoint.gtidSet);
    if (inFile) return { from: checkpoint, by: 'position', ...lost };
    const from = { ...checkpoint, serverUuid: state.uuid, file: '', position: 4 };
    return { from, by: 'gtids', ...lost };
  }
  if (!here)
    throw new Purged(
      `all since ${checkpoint.file}:${checkpoint.position}`,
      `Another server answers (${state.uuid}), and without GTIDs the place is not known there.`,
    );
  if (!inFile)
    throw new Purged(
      `from ${checkpoint.file}:${checkpoint.position} to ${files[0]?.file}:4`,
      `The file ${checkpoint.file} of the binlog, in which the reader stands, is gone or shorter.`,
    );
  return { from: withGtids(checkpoint, state), by: 'position' };
}

/**
 * GTIDs may have been switched on since the first run: where the checkpoint is at the very end of
 * the binlog, all that were executed are before it. Elsewhere the head of the next file says which.
 */
function withGtids(checkpoint: Checkpoint, { file, position, gtids }: LogState): Checkpoint {
  const atEnd = checkpoint.file === file && checkpoint.position === position && !checkpoint.open;
  return gtids && atEnd ? { ...checkpoint, gtidSet: gtids.executed } : checkpoint;
}

async function compare(
  order: Kysely<OrderTables>,
  { uuid, gtids }: LogState,
  read: string,
): Promise<Pick<ResumePoint, 'lostUpstream'>> {
  const { executed = '', purged = '' } = gtids ?? {};
  const { rows } = await sql<{ gone: string; unread: string }>`
    select gtid_subtract(${read}, ${executed}) gone,
      gtid_subtract(${purged}, ${read}) unread`.execute(order);
  const [{ gone, unread } = { gone: '', unread: '' }] = rows;
  if (unread)
    throw new Purged(withoutSpace(unread), 'The binlog was purged before all of it was read.');
  if (gone.includes(uuid))
    throw new Purged(
      `all since the reset; the reader stands behind ${withoutSpace(gone)}`,
      'The server does not know transactions of its own that were read: it was reset or restored.',
    );
  return gone ? { lostUpstream: withoutSpace(gone) } : {};
}
