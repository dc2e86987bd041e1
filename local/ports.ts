/** Finds free ports for local servers. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';

const host = '127.0.0.1';
/**
 * The range of ports. They are below 32768, because Linux takes ports of outgoing connections from there upwards, and
 * such a port might be taken before its server, which needs seconds to start, listens. They are above 10080, because
 * `fetch` refuses some ports up to it. https://fetch.spec.whatwg.org/#port-blocking
 */
const attemptsMax = 50;
/** Ports that this process has assigned: single ones, and those of ranges. Their servers may not listen yet. */
const single = new Set<number>();
const inRanges = new Set<number>();

function canListen(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address ? address.port : undefined;
      server.close(() => resolve(taken));
    });
  });
}

/**
 * Returns the requested port, or any free one. Throws with the name of the process that uses it if the requested port
 * is taken.
 */
export async function freePort(what: string, asked: number | undefined): Promise<number> {
  if (asked !== undefined) {
    if (await canListen(asked)) return asked;
    throw new Error(`Port ${asked}, asked for ${what}, is in use by ${holderOf(asked)}.`);
  }
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const port = 11_000 + Math.floor(Math.random() * 9_000);
    if (single.has(port) || inRanges.has(port)) continue;
    single.add(port);
    if (await canListen(port)) return port;
  }
  throw new Error(`No port is free for ${what}.`);
}

/** The offset from the port of a Redis Cluster node to its cluster bus port. */
const busOffset = 10_000;

/**
 * Returns the first of `count` consecutive ports that are free together with their bus ports, `preferred` if possible.
 */
export async function freeRange(
  what: string,
  count: number,
  preferred: number,
  asked: number | undefined,
): Promise<number> {
  const first = asked ?? preferred;
  const taken = await takenIn(first, count);
  if (taken === undefined) return first;
  if (asked) throw new Error(`Port ${taken}, asked for ${what}, is in use by ${holderOf(taken)}.`);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const other = 20_000 + Math.floor(Math.random() * 270) * 10;
    if ((await takenIn(other, count)) === undefined) return other;
  }
  throw new Error(`No ${count} neighbouring ports are free for ${what}.`);
}

async function takenIn(first: number, count: number): Promise<number | undefined> {
  for (let port = first; port < first + count; port++)
    for (const one of [port, port + busOffset])
      if (single.has(one) || !(await canListen(one))) return one;
  // A range may be assigned again after its servers have ended.
  for (let port = first; port < first + count; port++) inRanges.add(port).add(port + busOffset);
  return undefined;
}

/**
 * Returns the process that listens on a port, as `redis-server (process 4711)`. It reads /proc, so it works only on
 * Linux and for processes of the same user.
 */
export function holderOf(port: number): string {
  try {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
      readFileSync(file, 'utf8').split('\n'),
    );
    const listening = lines
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A');
    const inodes = listening
      .filter((fields) => fields[1]?.endsWith(`:${hex}`))
      .map((fields) => fields[9]);
    const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      if (holdsOne(pid, sockets))
        return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (process ${pid})`;
  } catch {
    // This is not Linux.
  }
  return 'another process';
}

function holdsOne(pid: string, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`)),
    );
  } catch {
    return false; // The process has ended, or it belongs to another user.
  }
}
