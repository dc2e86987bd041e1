/** Reads positions of the binlog from the server, and locates a checkpoint in it. */
import { type Kysely, sql } from 'kysely';
import type { Checkpoint } from '../checkpoints.ts';
import type { OrderTables } from '../tables.ts';

/** The present state of a server's binlog. */
export interface LogState {
  readonly uuid: string;
  /** The position of the next event. */
  readonly file: string;
  readonly position: number;
  /** Null if the server has no GTIDs. */
  readonly gtids: { readonly executed: string; readonly purged: string } | null;
}

export async function logState(order: Kysely<OrderTables>): Promise<LogState> {
  const [status] = await statusOf(order);
  if (!status) throw new Error('The order database writes no binlog: set log_bin=ON.');
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

/** 8.4 removed SHOW MASTER STATUS; 8.0 lacks SHOW BINARY LOG STATUS. */
async function statusOf(order: Kysely<OrderTables>): Promise<readonly Status[]> {
  const parse = 1064;
  try {
    return (await sql<Status>`show master status`.execute(order)).rows;
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error && error.errno === parse)) throw error;
    return (await sql<Status>`show binary log status`.execute(order)).rows;
  }
}

/** Removes line breaks, which MySQL puts into long GTID sets. */
const withoutSpace = (set: string): string => set.replaceAll(/\s/g, '');

/** Returns the number of a binlog file. Names do not sort: `binlog.999999` precedes `binlog.1000000`. */
export const numberOf = (file: string): number => Number(file.slice(file.lastIndexOf('.') + 1));

/** Returns whether `place` is at or after `other`, on the same server. */
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

/** Where and how to resume reading. */
export interface ResumePoint {
  readonly from: Checkpoint;
  readonly by: 'position' | 'gtids';
  /** There was no checkpoint: events that are already in the binlog are not read. */
  readonly firstRun?: true;
  /** GTIDs of transactions that were read and that upstream lost at a fail-over. */
  readonly lostUpstream?: string;
}

/** Thrown if the binlog does not reach back to the checkpoint: an unknown number of changes was not read. */
export class Purged extends Error {
  override readonly name = 'Purged';
  /** The lost GTIDs, or the first and last position of the missing files. */
  readonly lost: string;

  constructor(lost: string, why: string) {
    super(
      `${why} Lost: ${lost}. Run order/repair-gap: it compares all orders with their last
known status, and then the reader resumes (docs/runbooks/binlog-lost.md).`.replaceAll(/\s+/g, ' '),
    );
    this.lost = lost;
  }
}

export const endOf = ({ uuid, file, position, gtids }: LogState): Checkpoint => ({
  serverUuid: uuid,
  gtidSet: gtids?.executed ?? null,
  file,
  position,
  open: null,
  atMs: null,
});

/** Returns where to resume. Throws `Purged` if events after the checkpoint cannot be read any more. */
export async function locateCheckpoint(
  order: Kysely<OrderTables>,
  checkpoint: Checkpoint | undefined,
): Promise<ResumePoint> {
  const state = await logState(order);
  if (!checkpoint) return { from: endOf(state), by: 'position', firstRun: true };
  const files = await logFiles(order);
  const sameServer = state.uuid === checkpoint.serverUuid;
  const file = files.find((one) => one.file === checkpoint.file);
  const inFile = sameServer && file !== undefined && checkpoint.position <= file.bytes;
  if (state.gtids && checkpoint.gtidSet !== null) {
    const lost = await compareGtids(order, state, checkpoint.gtidSet);
    if (inFile) return { from: checkpoint, by: 'position', ...lost };
    const from = { ...checkpoint, serverUuid: state.uuid, file: '', position: 4 };
    return { from, by: 'gtids', ...lost };
  }
  if (!sameServer)
    throw new Purged(
      `everything since ${checkpoint.file}:${checkpoint.position}`,
      `Another server answers (${state.uuid}), and without GTIDs the checkpoint cannot be located there.`,
    );
  if (!inFile)
    throw new Purged(
      `from ${checkpoint.file}:${checkpoint.position} to ${files[0]?.file}:4`,
      `The binlog file ${checkpoint.file} of the reader’s checkpoint is gone or shorter.`,
    );
  return { from: withGtids(checkpoint, state), by: 'position' };
}

/**
 * Adds GTIDs to a checkpoint from before they were switched on. That is possible only at the very end
 * of the binlog, where all executed GTIDs precede it; otherwise the head of the next file names them.
 */
function withGtids(checkpoint: Checkpoint, { file, position, gtids }: LogState): Checkpoint {
  const atEnd = checkpoint.file === file && checkpoint.position === position && !checkpoint.open;
  return gtids && atEnd ? { ...checkpoint, gtidSet: gtids.executed } : checkpoint;
}

async function compareGtids(
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
      `everything since the reset; the reader has read ${withoutSpace(gone)}`,
      'The server lacks transactions of its own that were read: it was reset or restored.',
    );
  return gone ? { lostUpstream: withoutSpace(gone) } : {};
}
