/** Serves Upstash's REST API in front of a local Redis Cluster. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { getKeyIndexes } from '@ioredis/commands';
import slotOf from 'cluster-key-slot';
import { Cluster, type Redis } from 'ioredis';

type Command = [name: string, ...args: string[]];
type Reply = Buffer | Reply[] | number | null;

/** Commands that need their own connection or that a tenant may not send. Upstash refuses them, too. */
const refusedCommands = new Set(
  'SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE MONITOR MULTI EXEC DISCARD WATCH UNWATCH BLPOP BRPOP BLMOVE BZPOPMIN BZPOPMAX AUTH HELLO SELECT QUIT CLUSTER CONFIG SHUTDOWN'.split(
    ' ',
  ),
);
const onEachMaster = new Set(['FLUSHALL', 'FLUSHDB', 'DBSIZE', 'KEYS', 'SCRIPT']);
const unavailablePattern =
  /timed out|Connection is closed|ClusterAllFailed|Failed to refresh|Too many Cluster|ECONNREFUSED/i;

export interface UpstashGateway {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/**
 * Starts a gateway with Upstash's REST API in front of a Redis Cluster: one command as an array or as a path,
 * `/pipeline`, and `/multi-exec` for keys of one slot. https://upstash.com/docs/redis/features/restapi
 */
export async function startUpstashGateway(
  { nodes, password, token }: { nodes: readonly string[]; password: string; token: string },
  port: number,
): Promise<UpstashGateway> {
  const cluster = new Cluster([...nodes], {
    redisOptions: {
      password,
      commandTimeout: 2000,
      connectTimeout: 1000,
      maxRetriesPerRequest: 1,
      protocol: 2,
    },
    clusterRetryStrategy: (times) => Math.min(50 * times, 500),
    slotsRefreshTimeout: 1000,
    slotsRefreshInterval: 2000,
  });
  cluster.on('error', () => {}); // Each caller gets the error of its own command.
  const server = createServer(
    (request, response) => void answer(cluster, token, request, response),
  );
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${port}`, close: () => close(server, cluster) };
}

async function close(server: Server, cluster: Cluster): Promise<void> {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  cluster.disconnect();
}

async function answer(
  cluster: Cluster,
  token: string,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const encode = request.headers['upstash-encoding'] === 'base64' ? base64 : text;
  const send = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  try {
    const url = new URL(request.url ?? '/', 'http://gateway');
    const given =
      request.headers.authorization?.replace(/^Bearer /i, '') ?? url.searchParams.get('_token');
    if (given !== token) return send(401, { error: 'WRONGPASS invalid or missing auth token' });
    const body = await read(request);
    if (url.pathname === '/pipeline') return send(200, await pipeline(cluster, body, encode));
    if (url.pathname === '/multi-exec') return send(200, await multiExec(cluster, body, encode));
    const path = url.pathname.split('/').filter(Boolean).map(decodeURIComponent);
    const command = path.length ? [...path, ...(body === undefined ? [] : [body])] : body;
    send(200, { result: encode(await run(cluster, parse(command))) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    send(unavailablePattern.test(message) ? 503 : 400, { error: message });
  }
}

async function read(request: IncomingMessage): Promise<unknown> {
  let raw = '';
  request.setEncoding('utf8');
  for await (const part of request) raw += part;
  if (!raw) return undefined;
  try {
    return JSON.parse(raw);
  } catch {
    throw new Error('ERR failed to parse the JSON body');
  }
}

function parse(command: unknown): Command {
  if (!Array.isArray(command) || !command.length) throw new Error('ERR failed to parse command');
  const [name = '', ...args] = command.map((part) =>
    typeof part === 'object' ? JSON.stringify(part) : String(part),
  );
  // Upper case also prevents ioredis from converting the replies of HGETALL and similar commands.
  const upper = name.toUpperCase();
  if (refusedCommands.has(upper)) throw new Error(`ERR Command is not available: '${name}'`);
  return [upper, ...args];
}

const commandsOf = (body: unknown): unknown[] => {
  if (Array.isArray(body)) return body;
  throw new Error('ERR the body must be an array of commands');
};

type Encode = (reply: Reply) => unknown;

/**
 * Runs a pipeline, which is not atomic: each command succeeds or fails on its own. Commands on one key keep their
 * order.
 */
const pipeline = (cluster: Cluster, body: unknown, encode: Encode) =>
  Promise.all(
    commandsOf(body).map(async (command) => {
      try {
        return { result: encode(await run(cluster, parse(command))) };
      } catch (error) {
        return { error: (error as Error).message };
      }
    }),
  );

async function multiExec(cluster: Cluster, body: unknown, encode: Encode) {
  const commands = commandsOf(body).map(parse);
  const slots = new Set(commands.flatMap(keysOf).map(slotOf));
  if (slots.size > 1) throw new Error("CROSSSLOT Keys in request don't hash to the same slot");
  const multi = cluster.multi();
  for (const [name, ...args] of commands) multi.callBuffer(name, ...args);
  const replies = (await multi.exec()) ?? [];
  return replies.map(([error, reply]) =>
    error ? { error: error.message } : { result: encode(reply as Reply) },
  );
}

function keysOf([name, ...args]: Command): string[] {
  try {
    return getKeyIndexes(name.toLowerCase(), args, { parseExternalKey: true }).map(
      (index) => args[index] ?? '',
    );
  } catch {
    return []; // The command has no keys.
  }
}

async function run(cluster: Cluster, command: Command): Promise<Reply> {
  const [name, ...args] = command;
  const masters = cluster
    .nodes('master')
    .toSorted((a, b) => Number(a.options.port) - Number(b.options.port));
  if (name === 'SCAN') return await scan(masters, args);
  if (!onEachMaster.has(name)) return (await cluster.callBuffer(name, ...args)) as Reply;
  const replies = (await Promise.all(
    masters.map((master) => master.callBuffer(name, ...args)),
  )) as Reply[];
  if (name === 'DBSIZE') return replies.reduce<number>((sum, reply) => sum + Number(reply), 0);
  if (name === 'KEYS') return replies.flat() as Reply[];
  return replies[0] ?? null;
}

/** Scans all nodes. The cursor is the cursor of a node times the number of nodes, plus the index of the node. */
async function scan(
  masters: readonly Redis[],
  [cursor = '0', ...options]: readonly string[],
): Promise<Reply> {
  const count = BigInt(masters.length);
  const index = Number(BigInt(cursor) % count);
  const reply = await masters[index]?.callBuffer(
    'SCAN',
    String(BigInt(cursor) / count),
    ...options,
  );
  const [next, keys] = reply as [Buffer, Reply];
  const rest = BigInt(next.toString());
  const following = index + 1 < masters.length ? BigInt(index + 1) : 0n;
  return [Buffer.from(String(rest ? rest * count + BigInt(index) : following)), keys];
}

function text(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return Array.isArray(reply) ? reply.map(text) : reply;
}

/** Encodes a reply in base64, as the client requests. `OK` is not encoded. */
function base64(reply: Reply): unknown {
  if (!Buffer.isBuffer(reply)) return Array.isArray(reply) ? reply.map(base64) : reply;
  return reply.equals(ok) ? 'OK' : reply.toString('base64');
}
const ok = Buffer.from('OK');
