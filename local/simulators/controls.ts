import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as z from 'zod';

const modes = [
  ...(['lose_answer', 'error', 'refuse', 'slow', 'duplicate'] as const),
  ...(['odd_answer', 'page'] as const),
] as const;

/** What is done to the next `times` requests whose path begins with `path`. */
const Fault = z.strictObject({
  path: z.string().startsWith('/').default('/'),
  mode: z.enum(modes),
  times: z.int().positive(),
  ms: z.int().nonnegative().default(1_000),
});
type Fault = z.infer<typeof Fault>;

/** What the controls have said, and how often all of it was forgotten. */
interface Held {
  readonly faults: Fault[];
  /** What is answered to GET on these paths, with or without a query, whatever the partner would say. */
  readonly answers: Map<string, unknown>;
  /** The last requests, as method and path. */
  readonly calls: string[];
  resets: number;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** As it was sent. */
  readonly text: string;
  /** The same as JSON; undefined where it is none. */
  readonly body: unknown;
}

interface Reply {
  readonly status?: number;
  readonly body: unknown;
}

/** A partner as far as we know it: its contract, and what a test may look at and change. */
export interface Partner {
  /** Answers a request, with its effects; undefined where the partner has no such path. */
  readonly handle: (call: Call) => Promise<Reply | undefined> | Reply | undefined;
  /** The refusal that the partner's contract documents. */
  readonly refuse: (call: Call) => Reply;
  /** Everything received and held, as JSON. */
  readonly state: () => unknown;
  readonly reset: () => void;
  /** Further controls by their path (`/__fans`), answered to POST. */
  readonly controls?: Readonly<Record<string, (body: unknown) => unknown>>;
}

export interface Simulator {
  readonly url: string;
  readonly close: () => Promise<void>;
}

const bodyBytesMax = 32 << 20;
const callsMax = 1_000;

/**
 * Serves a partner on a port (0: any free one), with the controls that all simulators have: `GET /__state`,
 * `POST /__reset`, `POST /__faults`, `POST /__answers {"<path>": <body>}` (what GET is answered there, odd or not), and
 * `GET /__calls` (the last requests since the reset). The faults `lose_answer`, `duplicate` and `odd_answer` (a success
 * in no form of the partner's) have the effect; `error`, `refuse` and `page` (a gateway's 404, which is no JSON) have none.
 */
export async function startSimulator(
  make: Partner | ((url: string) => Partner),
  port = 0,
): Promise<Simulator> {
  const held: Held = { faults: [], answers: new Map(), calls: [], resets: 0 };
  const server = createServer((request, response) => {
    serve(partner, held, request, response).catch((error) => {
      send(response, { status: 400, body: { error: String(error) } });
    });
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed).listen(port, '127.0.0.1', listening);
  });
  const address = server.address();
  const taken = typeof address === 'object' && address ? address.port : port;
  const url = `http://127.0.0.1:${taken}`;
  const partner = typeof make === 'function' ? make(url) : make;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return { url, close };
}

async function serve(
  partner: Partner,
  held: Held,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const call = await callOf(request);
  if (call.path.startsWith('/__')) return send(response, controlled(partner, held, call));
  held.calls.splice(0, held.calls.length - callsMax + 1);
  held.calls.push(`${call.method} ${call.path}`);
  const { resets } = held;
  const fault = nextFault(held.faults, call.path);
  if (fault?.mode === 'slow') await new Promise((done) => setTimeout(done, fault.ms));
  // What was still under way at a reset has no effect after it.
  if (held.resets !== resets) return void request.socket.destroy();
  if (fault?.mode === 'error') return send(response, { status: 500, body: { error: 'injected' } });
  if (fault?.mode === 'refuse') return send(response, partner.refuse(call));
  if (fault?.mode === 'page') return sendPage(response);
  const asked = [`${call.path}?${call.query}`, call.path].find((one) => held.answers.has(one));
  if (call.method === 'GET' && asked) return send(response, { body: held.answers.get(asked) });
  if (fault?.mode === 'duplicate') await partner.handle(call);
  const reply = await partner.handle(call);
  if (fault?.mode === 'lose_answer') request.socket.destroy();
  else if (fault?.mode === 'odd_answer') send(response, { body: { odd: true } });
  else send(response, reply ?? { status: 404, body: { error: `No ${call.method} ${call.path}.` } });
}

function controlled(partner: Partner, held: Held, { method, path, body }: Call): Reply {
  if (method === 'GET' && path === '/__state') return { body: partner.state() };
  if (method === 'GET' && path === '/__calls') return { body: { calls: held.calls } };
  if (method !== 'POST') return { status: 404, body: { error: `No ${method} ${path}.` } };
  if (path === '/__reset') {
    held.faults.length = 0;
    held.answers.clear();
    held.calls.length = 0;
    held.resets += 1;
    partner.reset();
    return { body: {} };
  }
  if (path === '/__faults') {
    held.faults.push(Fault.parse(body));
    return { body: { faults: held.faults } };
  }
  if (path === '/__answers') {
    const answers = z.record(z.string().startsWith('/'), z.unknown()).parse(body);
    for (const [at, answer] of Object.entries(answers)) held.answers.set(at, answer);
    return { body: {} };
  }
  const control = partner.controls?.[path];
  return control
    ? { body: control(body) ?? {} }
    : { status: 404, body: { error: `No ${method} ${path}.` } };
}

/** The oldest fault for a path, used up by one. */
function nextFault(faults: Fault[], path: string): Fault | undefined {
  const index = faults.findIndex((fault) => path.startsWith(fault.path));
  const fault = faults[index];
  if (!fault) return undefined;
  fault.times -= 1;
  if (fault.times === 0) faults.splice(index, 1);
  return fault;
}

async function callOf(request: IncomingMessage): Promise<Call> {
  const url = new URL(request.url ?? '/', 'http://simulator');
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new Error(`The body is over ${bodyBytesMax} bytes.`);
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString();
  const { method = 'GET', headers } = request;
  const { pathname: path, searchParams: query } = url;
  return { method, path, query, headers, text, body: json(text) };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Empty, or in a form of the partner's own.
  }
}

function send(response: ServerResponse, { status = 200, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendPage(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'text/html' });
  response.end('<html><body>404 Not Found</body></html>');
}
