/** Sends one HTTP request and returns its response. */
import { Agent, type Dispatcher } from 'undici';
import { textOf } from '../errors.ts';
import { decoded } from './content-decoding.ts';

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** For all of it: connecting, sending, and the answer to its last byte. */
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** One request and its answer, once. Throws `NoResponse` where there is none, or not a whole one. */
export type Exchange = (request: Request) => Promise<Answer>;

export class NoResponse extends Error {
  override readonly name = 'NoResponse';
  /** Whether the request may have been read by the other side. */
  readonly sent: boolean;

  constructor(why: string, { sent, cause }: { sent: boolean; cause?: unknown }) {
    super(why, cause === undefined ? undefined : { cause });
    this.sent = sent;
  }
}

/** Consumers handle ten records at once. */
const connectionsMax = 10;

/** Exchanges over connections that are kept, a pool for each host; opened when first used. */
export function pooledExchange(): Exchange {
  let agent: Agent | undefined;
  return async (request) => {
    // `timeoutMs` is above all of undici's own time-outs but this one, which ends what is still connecting.
    agent ??= new Agent({ connections: connectionsMax, connect: { timeout: request.timeoutMs } });
    return await dispatched(agent, request);
  };
}

function dispatched(agent: Agent, request: Request): Promise<Answer> {
  const { url, method, headers, body, timeoutMs, answerBytesMax } = request;
  return new Promise((resolve, reject) => {
    let running: Dispatcher.DispatchController | undefined;
    let over = false;
    let status = 0;
    let bytes = 0;
    let encoding = '';
    const parts: Buffer[] = [];
    const end = (settle: () => void) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      settle();
    };
    const fail = (why: string, cause?: unknown) =>
      end(() => {
        const error = new NoResponse(why, { sent: running !== undefined, cause });
        running?.abort(error);
        reject(error);
      });
    const timer = setTimeout(() => fail(`no answer after ${timeoutMs} ms`), timeoutMs);

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: (controller) => {
        // It waited for a connection for too long: not a byte of it is sent any more.
        if (over) controller.abort(new NoResponse('given up', { sent: false }));
        else running = controller;
      },
      onResponseStart: (_, code, headers) => {
        status = code;
        encoding = String(headers['content-encoding'] ?? '');
      },
      onResponseData: (_, part) => {
        bytes += part.length;
        if (bytes > answerBytesMax) fail(`its answer is over ${answerBytesMax} bytes`);
        else parts.push(part);
      },
      onResponseEnd: () => {
        try {
          const body = decoded(Buffer.concat(parts), encoding, answerBytesMax);
          end(() => resolve({ status, body }));
        } catch (error) {
          fail(`its answer could not be decoded: ${textOf(error)}`, error);
        }
      },
      onResponseError: (_, error) => fail(whyOf(error), error),
    };
    const path = `${url.pathname}${url.search}`;
    agent.dispatch({ origin: url.origin, path, method, headers, body: body ?? null }, handler);
  });
}

/** The code tells more where several addresses were tried: such an error has no text of its own. */
const whyOf = (error: Error): string =>
  error.message || ('code' in error ? String(error.code) : error.name);
