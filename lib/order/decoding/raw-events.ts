/** What zongji does not tell of an event, read from its bytes. https://dev.mysql.com/doc/dev/mysql-server/latest/ */
export interface RawEvent {
  readonly type: number;
  /** What follows the header that all events have; its checksum may stand at the end. */
  readonly body: Buffer;
}

/** A packet of mysql2, as a connection hands it on. */
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

/** The event in a packet; undefined for an error and for the end of the stream. */
export function rawEventOf({ buffer, offset, end }: Packet): RawEvent | undefined {
  if (buffer[offset] !== 0 || end - offset <= headerBytes) return undefined;
  const type = buffer[offset + 5] ?? 0;
  return { type, body: buffer.subarray(offset + 1 + headerBytes, end) };
}

/** After the flags, the server uuid, the number, and two logical clocks with their type. */
const commitTimeAt = 42;
const commitTimeBytes = 7;
const logicalClocks = 2;

/**
 * When a transaction was committed where it came about. The times of all other events are those of
 * their sessions, which may say anything (SET TIMESTAMP). Undefined before MySQL 8.
 */
export function committedAtMs({ type, body }: RawEvent): number | undefined {
  if (type !== eventTypes.gtid && type !== eventTypes.anonymous) return undefined;
  if (body[25] !== logicalClocks || body.length < commitTimeAt + commitTimeBytes) return undefined;
  const here = timeAt(body, commitTimeAt);
  const isCopy = ((body[commitTimeAt + commitTimeBytes - 1] ?? 0) & 0x80) !== 0;
  const original = isCopy ? timeAt(body, commitTimeAt + commitTimeBytes) : here;
  const microseconds = original || here;
  return microseconds ? Math.floor(microseconds / 1000) : undefined;
}

const timeAt = (body: Buffer, at: number): number =>
  body.readUIntLE(at, 6) + ((body[at + 6] ?? 0) & 0x7f) * 2 ** 48;

/** Whether the events of a file end with a checksum, as the event at its head says. */
export const hasChecksums = ({ body }: RawEvent): boolean => body[body.length - 5] === 1;

const queryHeaderBytes = 13;
const loadHeaderBytes = 13;
const checksumBytes = 4;

/** The statement of LOAD DATA, where it is not written as rows. */
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

/** The schemas of all tables that a statement reads or writes; undefined where they are not listed. */
export function databasesOf({ body }: RawEvent): readonly string[] | undefined {
  const end = queryHeaderBytes + body.readUInt16LE(11);
  return databasesIn(body.subarray(queryHeaderBytes, end));
}

/** Bytes of the status variables before the list of schemas, by their codes; a text has its length before it. */
const bytesOf: Readonly<Record<number, number>> = {
  ...{ 0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1 },
};
const [timeZone, catalog, invoker, schemas] = [5, 6, 11, 12];
const schemasMax = 254;

function databasesIn(variables: Buffer): readonly string[] | undefined {
  for (let at = 0; at < variables.length; ) {
    const code = variables[at] ?? 0;
    const text = (from: number) => from + 1 + (variables[from] ?? 0);
    if (code === schemas) return listed(variables, at + 1);
    else if (code === timeZone || code === catalog) at = text(at + 1);
    else if (code === invoker) at = text(text(at + 1));
    else if (bytesOf[code] === undefined) return undefined;
    else at += 1 + bytesOf[code];
  }
  return undefined;
}

/** The list at a place; MySQL gives none for more schemas than that, or if foreign keys refer to a table. */
function listed(variables: Buffer, at: number): readonly string[] | undefined {
  const count = variables[at] ?? 0;
  if (count >= schemasMax) return undefined;
  const found = variables
    .toString('utf8', at + 1)
    .split('\0')
    .slice(0, count);
  return found.includes('') ? undefined : found;
}
