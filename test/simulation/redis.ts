import { fillScript } from '../../lib/platform/cache/read-through-cache.ts';
import type { Cache } from '../../lib/platform/cache/redis.ts';
import { cross, lostConnection, type World } from './world.ts';

/** Callbacks of the model, with full keys and parsed values. */
export interface Witness {
  readonly served: (key: string, value: unknown) => void;
  readonly filled: (key: string, value: unknown, keptSeconds: number) => void;
  readonly deleted: (key: string) => void;
  readonly failedOver: () => void;
}

export interface SimulatedRedis {
  /** Returns a worker's replacement of `cache(…)`; with a pause of 0 every call reaches Redis. */
  readonly cacheFor: (pauseMs?: number) => Cache;
  readonly goAway: () => void;
  readonly comeBack: () => void;
  /** Fails over right after the next deletion, which loses all that the replica does not have. */
  readonly failOverAtNextDeletion: () => void;
  /** When Redis was last available again. */
  backAtMs: number;
}

interface Entry {
  readonly text: string;
  readonly untilMs: number;
}

/** The replica's lag. */
const replicaLagMs = 1_000;
/** lib/platform/cache/redis.ts. */
const failuresInARowMax = 2;
const pauseMsByDefault = 30_000;

/** Makes a model of Redis with the commands in use, on the simulated clock; each command is a boundary. */
export function newRedis(world: World, witness: Witness): SimulatedRedis {
  const entries = new Map<string, Entry>();
  const undo: {
    readonly atMs: number;
    readonly key: string;
    readonly before: Entry | undefined;
  }[] = [];
  let unavailable = false;
  let failOver = false;

  const readText = (key: string): string | undefined => {
    const entry = entries.get(key);
    return entry && entry.untilMs > world.nowMs ? entry.text : undefined;
  };
  const put = (key: string, entry: Entry | undefined) => {
    undo.push({ atMs: world.nowMs, key, before: entries.get(key) });
    if (entry) entries.set(key, entry);
    else entries.delete(key);
  };
  const commands = {
    get: (key: string) => {
      const text = readText(key);
      const value: unknown = text === undefined ? null : JSON.parse(text);
      if (value !== null) witness.served(key, value);
      return value;
    },
    set: (key: string, text: string, { nx = false, px = 0, ex = 0 } = {}) => {
      if (nx && readText(key) !== undefined) return null;
      if (ex) witness.filled(key, JSON.parse(text), ex);
      put(key, { text, untilMs: world.nowMs + px + ex * 1000 });
      return 'OK';
    },
    del: (...keys: string[]) => {
      for (const key of keys) {
        put(key, undefined);
        witness.deleted(key);
      }
      if (failOver) lose();
      return keys.length;
    },
    eval: (script: string, [key = '', lease = '']: string[], [token, text, ex]: string[]) => {
      if (script !== fillScript)
        throw new Error('The simulated Redis does not support this script.');
      if (readText(lease) !== token) return 0;
      commands.set(key, text ?? '', { ex: Number(ex) });
      put(lease, undefined);
      return 1;
    },
  };
  const lose = () => {
    failOver = false;
    for (let last = undo.at(-1); last; last = undo.at(-1)) {
      if (last.atMs < world.nowMs - replicaLagMs) break;
      undo.pop();
      if (last.before) entries.set(last.key, last.before);
      else entries.delete(last.key);
    }
    witness.failedOver();
  };
  const redis = Object.fromEntries(
    Object.entries(commands).map(([name, command]) => [
      name,
      (...args: unknown[]) =>
        cross('http', `redis ${name} ${JSON.stringify(args).slice(0, 60)}`, {
          run: async () => {
            if (unavailable) throw lostConnection();
            return Reflect.apply(command, undefined, args);
          },
          fail: async () => lostConnection(),
        }),
    ]),
  );

  return {
    cacheFor: (pauseMs = pauseMsByDefault) => {
      let failures = 0;
      let quietUntilMs = 0;
      return async (question) => {
        if (failures >= failuresInARowMax && world.nowMs < quietUntilMs) return undefined;
        try {
          const answer = await question(redis as never);
          failures = 0;
          return answer;
        } catch {
          failures += 1;
          quietUntilMs = world.nowMs + pauseMs;
          return undefined;
        }
      };
    },
    goAway: () => {
      unavailable = true;
    },
    comeBack() {
      unavailable = false;
      this.backAtMs = world.nowMs;
    },
    failOverAtNextDeletion: () => {
      failOver = true;
    },
    backAtMs: 0,
  };
}
