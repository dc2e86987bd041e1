/**
 * Reads fields of binlog events that zongji does not expose, from their bytes. No I/O.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/
 */

/** The bytes of an event. */
export interface RawEvent {
  readonly type: number;
  /** The bytes after the common header; they may end with a checksum. */
  readonly body: Buffer;
}

/** A packet as a connection of mysql2 passes it to its handler. */
export interface Packet {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
}

const headerBytes = 19;
export const eventTypes = {
  query: 2,
  format: 15,
  executeLoad: 18,
  gtid: 33,
  anonymous: 34,
} as const;

/** Returns the event in a packet; undefined for an error packet and the end of the stream. */
export function rawEventOf({ buffer, offset, end }: Packet): RawEvent | undefined {
  if (buffer[offset] !== 0 || end - offset <= headerBytes) return undefined;
  const type = buffer[offset + 5] ?? 0;
  return { type, body: buffer.subarray(offset + 1 + headerBytes, end) };
}

/** The offset of the commit time: after flags, server uuid, number, and two logical clocks with their type. */
const commitTimeAt = 42;
const commitTimeBytes = 7;
const logicalClocks = 2;

/**
 * Returns the commit time of a transaction on its server of origin; undefined before MySQL 8. The times
 * of all other events are unreliable, because a session can set them (SET TIMESTAMP).
 */
export function committedAtMs({ type, body }: RawEvent): number | undefined {
  if (type !== eventTypes.gtid && type !== eventTypes.anonymous) return undefined;
  if (body[25] !== logicalClocks || body.length < commitTimeAt + commitTimeBytes) return undefined;
  const immediate = timeAt(body, commitTimeAt);
  const isCopy = ((body[commitTimeAt + commitTimeBytes - 1] ?? 0) & 0x80) !== 0;
  const original = isCopy ? timeAt(body, commitTimeAt + commitTimeBytes) : immediate;
  const microseconds = original || immediate;
  return microseconds ? Math.floor(microseconds / 1000) : undefined;
}

const timeAt = (body: Buffer, at: number): number =>
  body.readUIntLE(at, 6) + ((body[at + 6] ?? 0) & 0x7f) * 2 ** 48;

/** Returns whether the events of a file end with a checksum, from the format event at its head. */
export const hasChecksums = ({ body }: RawEvent): boolean => body[body.length - 5] === 1;

const queryHeaderBytes = 13;
const loadHeaderBytes = 13;
const checksumBytes = 4;

/** Returns the LOAD DATA statement of an event, for sessions that log statements instead of rows. */
export function loadStatementOf({ body }: RawEvent, checksums: boolean) {
  const schemaBytes = body[8] ?? 0;
  const variables = queryHeaderBytes + loadHeaderBytes;
  const schemaAt = variables + body.readUInt16LE(11);
  const end = body.length - (checksums ? checksumBytes : 0);
  return {
    schema: body.toString('utf8', schemaAt, schemaAt + schemaBytes),
    sql: body.toString('utf8', schemaAt + schemaBytes + 1, end),
    databases: databasesIn(body.subarray(variables, schemaAt)),
  };
}

/** Returns the schemas of all tables that a statement uses; undefined if the event does not list them. */
export function databasesOf({ body }: RawEvent): readonly string[] | undefined {
  const end = queryHeaderBytes + body.readUInt16LE(11);
  return databasesIn(body.subarray(queryHeaderBytes, end));
}

/** Sizes of the status variables with a fixed size, by code. Texts begin with a length byte instead. */
const bytesOf: Readonly<Record<number, number>> = {
  0: 4,
  1: 8,
  3: 4,
  4: 6,
  7: 2,
  8: 2,
  9: 8,
  10: 4,
  13: 3,
  16: 1,
  17: 8,
  18: 2,
  19: 1,
  20: 1,
};
const [timeZone, catalog, invoker, schemas] = [5, 6, 11, 12];
const schemasMax = 254;

function databasesIn(variables: Buffer): readonly string[] | undefined {
  for (let at = 0; at < variables.length; ) {
    const code = variables[at] ?? 0;
    const endOfText = (from: number) => from + 1 + (variables[from] ?? 0);
    if (code === schemas) return schemaListAt(variables, at + 1);
    else if (code === timeZone || code === catalog) at = endOfText(at + 1);
    else if (code === invoker) at = endOfText(endOfText(at + 1));
    else if (bytesOf[code] === undefined) return undefined;
    else at += 1 + bytesOf[code];
  }
  return undefined;
}

/**
 * Returns the list of schemas at an offset. MySQL omits it for 254 schemas or more, and if foreign keys
 * refer to a table.
 */
function schemaListAt(variables: Buffer, at: number): readonly string[] | undefined {
  const count = variables[at] ?? 0;
  if (count >= schemasMax) return undefined;
  const list = variables
    .toString('utf8', at + 1)
    .split('\0')
    .slice(0, count);
  return list.includes('') ? undefined : list;
}
