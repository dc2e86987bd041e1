/** The HTTP server and the controls that all simulators share. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as z from 'zod';

const modes = [
  ...(['lose_answer', 'error', 'refuse', 'slow', 'duplicate'] as const),
  ...(['odd_answer', 'page'] as const),
] as const;

/** A fault for the next `times` requests whose path begins with `path`. */
const Fault = z.strictObject({
  path: z.string().startsWith('/').default('/'),
  mode: z.enum(modes),
  times: z.int().positive(),
  ms: z.int().nonnegative().default(1_000),
});
type Fault = z.infer<typeof Fault>;

/** The state that the controls have set, and the number of resets. */
interface ControlState {
  readonly faults: Fault[];
  /** Fixed answers to GET on these paths, with or without a query, instead of the partner's. */
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
  /** The raw body. */
  readonly text: string;
  /** The body as JSON, or undefined if it is not JSON. */
  readonly body: unknown;
}

interface Reply {
  readonly status?: number;
  readonly body: unknown;
}

/** A partner as far as we know it: its contract, and the state that a test may read and change. */
export interface Partner {
  /** Answers a request and applies its effects. Returns undefined if the partner has no such path. */
  readonly handle: (call: Call) => Promise<Reply | undefined> | Reply | undefined;
  /** The refusal that the partner's contract documents. */
  readonly refuse: (call: Call) => Reply;
  /** All received and stored data, as JSON. */
  readonly state: () => unknown;
  readonly reset: () => void;
  /** More controls by path (`/__fans`), called by POST. */
  readonly controls?: Readonly<Record<string, (body: unknown) => unknown>>;
}

export interface Simulator {
  readonly url: string;
  readonly close: () => Promise<void>;
}

const bodyBytesMax = 32 << 20;
const callsMax = 1_000;

/**
 * Serves a partner on a port (0: any free one), with the controls that all simulators have: `GET /__state`, `POST
 * /__reset`, `POST /__faults`, `POST /__answers {"<path>": <body>}` (fixed answers to GET, valid or not), and `GET
 * /__calls` (the last requests since the reset). Requests with the faults `lose_answer`, `duplicate` and `odd_answer`
 * (a success that breaks the partner's contract) take effect. Those with `error`, `refuse` and `page` (a gateway's 404
 * page, which is not JSON) do not.
 */
export async function startSimulator(
  make: Partner | ((url: string) => Partner),
  port = 0,
): Promise<Simulator> {
  const state: ControlState = { faults: [], answers: new Map(), calls: [], resets: 0 };
  const server = createServer((request, response) => {
    serve(partner, state, request, response).catch((error) => {
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
  state: ControlState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const call = await callOf(request);
  if (call.path.startsWith('/__')) return send(response, handleControl(partner, state, call));
  state.calls.splice(0, state.calls.length - callsMax + 1);
  state.calls.push(`${call.method} ${call.path}`);
  const { resets } = state;
  const fault = nextFault(state.faults, call.path);
  if (fault?.mode === 'slow') await new Promise((done) => setTimeout(done, fault.ms));
  // A request that was in progress at a reset has no effect after it.
  if (state.resets !== resets) return void request.socket.destroy();
  if (fault?.mode === 'error') return send(response, { status: 500, body: { error: 'injected' } });
  if (fault?.mode === 'refuse') return send(response, partner.refuse(call));
  if (fault?.mode === 'page') return sendPage(response);
  const fixedPath = [`${call.path}?${call.query}`, call.path].find((one) => state.answers.has(one));
  if (call.method === 'GET' && fixedPath)
    return send(response, { body: state.answers.get(fixedPath) });
  if (fault?.mode === 'duplicate') await partner.handle(call);
  const reply = await partner.handle(call);
  if (fault?.mode === 'lose_answer') request.socket.destroy();
  else if (fault?.mode === 'odd_answer') send(response, { body: { odd: true } });
  else send(response, reply ?? { status: 404, body: { error: `No ${call.method} ${call.path}.` } });
}

function handleControl(partner: Partner, state: ControlState, { method, path, body }: Call): Reply {
  if (method === 'GET' && path === '/__state') return { body: partner.state() };
  if (method === 'GET' && path === '/__calls') return { body: { calls: state.calls } };
  if (method !== 'POST') return { status: 404, body: { error: `No ${method} ${path}.` } };
  if (path === '/__reset') {
    state.faults.length = 0;
    state.answers.clear();
    state.calls.length = 0;
    state.resets += 1;
    partner.reset();
    return { body: {} };
  }
  if (path === '/__faults') {
    state.faults.push(Fault.parse(body));
    return { body: { faults: state.faults } };
  }
  if (path === '/__answers') {
    const answers = z.record(z.string().startsWith('/'), z.unknown()).parse(body);
    for (const [at, answer] of Object.entries(answers)) state.answers.set(at, answer);
    return { body: {} };
  }
  const control = partner.controls?.[path];
  return control
    ? { body: control(body) ?? {} }
    : { status: 404, body: { error: `No ${method} ${path}.` } };
}

/** Returns the oldest fault for a path and uses it up by one. */
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
    return undefined; // The body is empty, or in another format of the partner.
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
