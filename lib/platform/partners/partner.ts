/** The client of a partner over HTTP: timeouts, safe repetition, and whether a request may have had an effect. */
import type * as z from 'zod';
import { PartnerUnavailable, Postponed, textOf } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { mask } from '../lambda/mask.ts';
import { textIn } from './content-decoding.ts';
import {
  type Answer,
  type Exchange,
  NoResponse,
  pooledExchange,
  type Request,
} from './http-exchange.ts';

export interface PartnerOptions {
  /** What it is called in errors. */
  readonly name: string;
  /** A function where a configuration document holds it. */
  readonly baseUrl: string | (() => Promise<string>);
  /** For each attempt; a function where a configuration document holds it. */
  readonly timeoutMs: number | (() => Promise<number>);
  /** The first delay comes after the first attempt; each one after it is twice as long. */
  readonly retry: { readonly attemptsMax: number; readonly delayMs: number };
  readonly answerBytesMax?: number;
}

export interface Call<Result> {
  readonly method: Request['method'];
  /** Below the base URL; begins with a slash. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, where the text itself is signed or is no JSON. */
  readonly body?: { readonly type: string; readonly content: string | Uint8Array };
  readonly answer: z.ZodType<Result>;
  /** What is asked about, by the names of the answer: an answer that has another value is about something else. */
  readonly about?: Readonly<Record<string, string | number>>;
  /** Made twice it does the same as made once, by the partner's contract. GET is so always. */
  readonly repeatable?: boolean;
}

/** Throws `PartnerUnavailable` for all that is no answer of the form asked for. */
export type Partner = <Result>(call: Call<Result>) => Promise<Result>;

const answerBytesMaxByDefault = 4 << 20;

/**
 * A client of a partner's HTTP API. An answer is JSON of the form that the call names, whatever its status below 500
 * and its content type: refusals are part of that form. Everything else is `PartnerUnavailable`.
 *
 * Tried again, within `retry`, is only what is safe: GET, what the call says is repeatable, and what never reached
 * the partner. All in all a call takes `attemptsMax` × `timeoutMs` and the delays between.
 * `exchange` is the one place where it touches the world.
 */
export function partner(options: PartnerOptions, exchange: Exchange = pooledExchange()): Partner {
  const { baseUrl, timeoutMs, retry } = options;
  return async (call) => {
    const url = urlOf(typeof baseUrl === 'string' ? baseUrl : await baseUrl(), call);
    const limits = {
      timeoutMs: typeof timeoutMs === 'number' ? timeoutMs : await timeoutMs(),
      answerBytesMax: options.answerBytesMax ?? answerBytesMaxByDefault,
    };
    for (let attempt = 1; ; attempt++) {
      try {
        return await attempted(options.name, limits, exchange, call, url);
      } catch (error) {
        if (!(error instanceof PartnerUnavailable) || attempt >= retry.attemptsMax) throw error;
        const safe = call.method === 'GET' || call.repeatable || error.effect === 'none';
        if (!safe) throw error;
        await new Promise((done) => setTimeout(done, retry.delayMs * 2 ** (attempt - 1)));
      }
    }
  };
}

function urlOf(baseUrl: string, { path, query = {} }: Call<unknown>): URL {
  const url = new URL(baseUrl.replace(/\/$/, '') + path);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
  return url;
}

async function attempted<Result>(
  name: string,
  limits: Pick<Request, 'timeoutMs' | 'answerBytesMax'>,
  exchange: Exchange,
  { method, headers = {}, json, body, answer: schema, about = {} }: Call<Result>,
  url: URL,
): Promise<Result> {
  const unavailable = (
    effect: PartnerUnavailable['effect'],
    why: string,
    more?: { cause: unknown },
  ) => new PartnerUnavailable(name, effect, mask(`${method} ${url}: ${why}`), more);
  const odd = (why: string) =>
    new PartnerUnavailable(name, 'possible', mask(`${method} ${url}: ${why}`), { answered: true });
  const content = json === undefined ? body : { type: jsonType, content: JSON.stringify(json) };
  const request = {
    method,
    url,
    ...limits,
    headers: { accept: jsonType, ...(content && { 'content-type': content.type }), ...headers },
    body: content?.content,
  };
  let answer: Answer;
  try {
    answer = await exchange(request);
  } catch (error) {
    const unsent = error instanceof NoResponse && !error.sent;
    throw unavailable(unsent ? 'none' : 'possible', textOf(error), { cause: error });
  }
  const { status } = answer;
  if (status === tooManyRequests) throw unavailable('none', `it answered ${status}`);
  if (status >= 500) throw unavailable('possible', `it answered ${status}`);
  const value = jsonOf(answer);
  if (value === undefined) throw odd(`it answered ${status} without JSON`);
  const other = otherThan(about, value);
  if (other) throw odd(`it answered ${status} about ${other}`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw odd(`it answered ${status} in another form: ${issuesOf(result.error)}`);
}

/** The first field by which an answer, whatever its code, is about something else. */
function otherThan(about: NonNullable<Call<unknown>['about']>, value: unknown): string | undefined {
  const answer: Readonly<Record<string, unknown>> = Object(value);
  const name = Object.keys(about).find((one) => {
    const given = Object.hasOwn(answer, one) ? answer[one] : undefined;
    return given !== undefined && given !== null && String(given) !== String(about[one]);
  });
  return name === undefined ? undefined : `${name} ${String(answer[name])}`;
}

const jsonType = 'application/json';
const tooManyRequests = 429;

function jsonOf({ body }: Answer): unknown {
  try {
    return JSON.parse(textIn(body), exact);
  } catch {
    return undefined; // The text itself may hold personal data.
  }
}

/** Integers that a number cannot hold exactly, ids for the most part, become decimal strings. */
function exact(_key: string, value: unknown, { source = '' }: { source?: string } = {}): unknown {
  const inexact = typeof value === 'number' && !Number.isSafeInteger(value);
  return inexact && /^-?\d+$/.test(source) ? source : value;
}

const shortestMinutes = 1;
const longestMinutes = 30;

/** Returns the error that postpones a message: one minute after the first attempt, doubled each time, 30 at most. */
export function postponed(
  unavailable: PartnerUnavailable,
  attempts: number,
  now = new Date(),
): Postponed {
  const minutes = Math.min(shortestMinutes * 2 ** Math.max(attempts - 1, 0), longestMinutes);
  const until = new Date(now.getTime() + minutes * 60_000);
  return new Postponed(until, unavailable.message, { cause: unavailable });
}

/** Runs `work`; throws `Postponed` if a partner that it needs is unavailable. `attempts` counts this one, too. */
export async function postponeIfUnavailable<Result>(
  attempts: number,
  work: () => Promise<Result>,
  clock: () => Date = () => new Date(),
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof PartnerUnavailable ? postponed(error, attempts, clock()) : error;
  }
}
