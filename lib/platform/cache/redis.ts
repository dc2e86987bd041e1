/** The client of the cache, which never delays or fails the work of its caller. */
import { Redis } from '@upstash/redis';
import * as z from 'zod';
import { textOf } from '../errors.ts';
import { reportFailure } from '../lambda/log.ts';
import { type ReadSecret, secret } from '../lambda/secret.ts';

const Access = z.object({ url: z.url(), token: z.string().min(1) });
type Access = z.infer<typeof Access>;

/** No call takes longer, opening the client included. */
export const callTimeoutMs = 50;
/** After this many consecutive failures no call is made … */
export const failuresInARowMax = 2;
/**
 * … for this long, and then one, whose success ends the pause. It is longer than any request to our HTTP API, so a
 * request loses two calls and one try, 150 ms, to a cache that is unavailable.
 */
export const pauseMs = 30_000;

/**
 * Queries the cache. Returns `undefined` if the query failed or was not made, and null for a missing key. The caller
 * continues in either case: a failing cache fails no work.
 */
export type Cache = <Answer>(
  question: (redis: Redis) => Promise<Answer>,
) => Promise<Answer | undefined>;

interface Options {
  readonly clock?: () => number;
  readonly timeoutMs?: number;
  /** 0: every call is made, for callers that prefer waiting to an absent answer. */
  readonly pauseMs?: number;
  readonly access?: ReadSecret<Access>;
}

/**
 * Upstash Redis over HTTPS, from the secret `redis` `{"url", "token"}`. Questions of one moment are one request.
 * What the cache refuses (a command for another type of value) says nothing of its health, and is `undefined`, too.
 * After a failure the secret is read past its cache: where it says something else now (the token was rotated), the next
 * call uses that, and no pause is left.
 */
export function cache({
  clock = Date.now,
  timeoutMs = callTimeoutMs,
  pauseMs: quietMs = pauseMs,
  access = secret('redis', Access),
}: Options = {}): Cache {
  let opened: Promise<Opened> | undefined;
  let renewing = false;
  let failures = 0;
  let quietUntil = 0;

  /** Whether a call may be made now. The one that ends a pause begins the next, until it succeeds. */
  function mayAsk(): boolean {
    if (failures < failuresInARowMax) return true;
    if (clock() < quietUntil) return false;
    quietUntil = clock() + quietMs;
    return true;
  }

  async function client(): Promise<Opened> {
    opened ??= access().then((read) => open(read, timeoutMs));
    try {
      return await opened;
    } catch (error) {
      opened = undefined;
      throw error;
    }
  }

  /** Nobody waits for it: a call that failed has used up its time. */
  function renew(failed: Opened): void {
    if (renewing) return;
    renewing = true;
    void access({ pastCache: true })
      .then((read) => {
        if (JSON.stringify(read) === JSON.stringify(failed.access)) return;
        opened = Promise.resolve(open(read, timeoutMs));
        failures = 0;
        quietUntil = 0;
      })
      .catch((error) => reportFailure('cache-unavailable', {}, error))
      .finally(() => {
        renewing = false;
      });
  }

  return async (question) => {
    if (!mayAsk()) return undefined;
    let asked: Opened | undefined;
    const asking = async () => {
      const current = await client();
      asked = current;
      return await question(current.redis);
    };
    try {
      const answer = await inTime(asking(), timeoutMs);
      failures = 0;
      return answer;
    } catch (error) {
      // At a cold start its secret is still being read, which says nothing about the cache.
      if (error instanceof Late && !asked) return undefined;
      if (isReply(error)) failures = 0;
      else {
        failures += 1;
        quietUntil = clock() + quietMs;
        if (asked) renew(asked);
      }
      reportFailure(isReply(error) ? 'cache-refused' : 'cache-unavailable', {}, told(error));
      return undefined;
    }
  };
}

interface Opened {
  readonly access: Access;
  readonly redis: Redis;
}

const open = (access: Access, timeoutMs: number): Opened => ({
  access,
  redis: new Redis({
    ...access,
    retry: { retries: 0 }, // `false` would mean one.
    signal: () => AbortSignal.timeout(timeoutMs),
    enableTelemetry: false,
  }),
});

class Late extends Error {}

async function inTime<Answer>(work: Promise<Answer>, timeoutMs: number): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Late(`The cache did not answer within ${timeoutMs} ms.`);
    timer = setTimeout(() => reject(error), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const replyPrefix = 'Command failed: ';
/** Whether Redis itself answered a command with an error; the gateway's own errors are worded otherwise. */
export const isReply = (error: unknown): boolean => textOf(error).startsWith(replyPrefix);

/** With these Redis, or Upstash, says that it cannot carry out any such command at the moment. */
const stateReplies =
  /^(ASK|BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|MOVED|NOAUTH|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNKILLABLE|WRONGPASS|ERR max) /;

/** Whether Redis refused a command for what it is: the same will be refused again. What has no code is the gateway's. */
export function isRefusal(error: unknown): boolean {
  const reply = textOf(error).slice(replyPrefix.length);
  return isReply(error) && /^[A-Z]{2,} /.test(reply) && !stateReplies.test(reply);
}

/** Without the commands that Upstash's client adds to the text: they hold keys and values. */
const told = (error: unknown): Error => new Error(textOf(error).split(', command was: ')[0]);
