import type { Exchange } from '../../../lib/platform/exchange.ts';
import { setSwitch } from '../../../lib/platform/kill-switch.ts';
import type { PlatformTables } from '../../../lib/platform/schema.ts';
import {
  type FirstSwitchOff,
  type NamesOf,
  type Switches,
  switches,
} from '../../../lib/platform/switches.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Stage } from '../play.ts';
import type { Worker } from '../world.ts';

const turnsMax = 3;
const offSecondsMax = 1_500;
/** A switch stops what it names within a minute; a worker that is held up may take as long again. */
const stopsWithinMs = 120_000;

/** Emptied before each run of a scenario in which kill switches are thrown. */
export const switchTables = ['signalbox.switch', 'signalbox.audit'];

interface Switching {
  /** What workers ask; they ask nobody in plays without switches, whose boundaries stay as they are. */
  readonly off: (worker: Worker) => FirstSwitchOff;
  readonly acts: readonly Act[];
  /** The way to a partner, looked at: it must not be used while one of these switches is off. */
  readonly watched: (exchange: Exchange, ...names: readonly string[]) => Exchange;
  /** Says what was done under a switch. */
  readonly broken: () => string | undefined;
}

/** In some plays kill switches are thrown and lifted: what they name stops, waits, and is done afterwards. */
export function switching<Known extends Switches>(
  { databases, world, faults: { switching: random } }: Stage,
  known: Known,
  names: readonly NamesOf<Known>[],
  withinSeconds: number,
): Switching {
  if (!random)
    return {
      off: () => async () => undefined,
      acts: [],
      watched: (exchange) => exchange,
      broken: () => undefined,
    };
  const offSinceMs = new Map<string, number>();
  let broken: string | undefined;
  const nobody = { connections: new Set() } as unknown as Worker;
  const mysql = mysqlOf<PlatformTables>(databases, world, nobody);
  const turn = (name: string, state: 'off' | 'on') => async () => {
    await setSwitch({ mysql, known }, { name, state, by: 'simulation', why: 'to see what waits' });
    if (state === 'on') offSinceMs.delete(name);
    else if (!offSinceMs.has(name)) offSinceMs.set(name, world.nowMs);
  };
  const acts = Array.from({ length: random.between(1, turnsMax) }, () => {
    const name = names[random.between(0, names.length - 1)] ?? '';
    const atSeconds = random.between(0, withinSeconds);
    const onSeconds = atSeconds + random.between(1, offSecondsMax);
    return [
      { atSeconds, act: turn(name, 'off') },
      { atSeconds: onSeconds, act: turn(name, 'on') },
    ];
  }).flat();
  return {
    off: (worker) =>
      switches(
        { mysql: mysqlOf<PlatformTables>(databases, world, worker) },
        () => world.nowMs + worker.skewMs,
      ),
    acts,
    watched:
      (exchange, ...watchedNames) =>
      (request) => {
        for (const name of watchedNames) {
          const offMs = world.nowMs - (offSinceMs.get(name) ?? world.nowMs);
          if (offMs > stopsWithinMs)
            broken ??= `${request.method} ${request.url.pathname} ${offMs / 1000} s after ${name} was switched off.`;
        }
        return exchange(request);
      },
    broken: () => broken,
  };
}
