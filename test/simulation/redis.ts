import { fillScript } from '../../lib/platform/cache/read-through-cache.ts';
import type { Cache } from '../../lib/platform/cache/redis.ts';
import { cross, lostConnection, type World } from './world.ts';

/** What the model tells of what it does; keys are whole, values what JSON says. */
export interface Witness {
  readonly served: (key: string, value: unknown) => void;
  readonly filled: (key: string, value: unknown, keptSeconds: number) => void;
  readonly deleted: (key: string) => void;
  readonly failedOver: () => void;
}

export interface SimulatedRedis {
  /** What a worker gets for `cache(…)`; a pause of 0 is that of who asks each time. */
  readonly cacheFor: (pauseMs?: number) => Cache;
  readonly goAway: () => void;
  readonly comeBack: () => void;
  /** Right after the next deletion the master is lost, and with it what its replica has not got. */
  readonly failOverAtNextDeletion: () => void;
  /** When it last came back. */
  backAtMs: number;
}

interface Entry {
  readonly text: string;
  readonly untilMs: number;
}

/** A replica is behind by so much. */
const replicaLagMs = 1_000;
/** lib/platform/cache/redis.ts. */
const failuresInARowMax = 2;
const pauseMsByDefault = 30_000;

/** Redis with just the commands that are used, on the simulated clock; each is a boundary. */
export function newRedis(world: World, witness: Witness): SimulatedRedis {
  const entries = new Map<string, Entry>();
  const undo: {
    readonly atMs: number;
    readonly key: string;
    readonly before: Entry | undefined;
  }[] = [];
  let away = false;
  let failOver = false;

  const held = (key: string): string | undefined => {
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
      const text = held(key);
      const value: unknown = text === undefined ? null : JSON.parse(text);
      if (value !== null) witness.served(key, value);
      return value;
    },
    set: (key: string, text: string, { nx = false, px = 0, ex = 0 } = {}) => {
      if (nx && held(key) !== undefined) return null;
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
      if (script !== fillScript) throw new Error('The model does not know this script.');
      if (held(lease) !== token) return 0;
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
            if (away) throw lostConnection();
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
      away = true;
    },
    comeBack() {
      away = false;
      this.backAtMs = world.nowMs;
    },
    failOverAtNextDeletion: () => {
      failOver = true;
    },
    backAtMs: 0,
  };
}
