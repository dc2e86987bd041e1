import { setSwitch } from '../../../lib/platform/operations/set-switch.ts';
import {
  type FirstSwitchOff,
  type NamesOf,
  type Switches,
  switches,
} from '../../../lib/platform/operations/switches.ts';
import type { Exchange } from '../../../lib/platform/partners/http-exchange.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Stage } from '../run-scenario.ts';
import { type Boundary, current, type Worker } from '../world.ts';

const turnsMax = 3;
const offSecondsMax = 1_500;
/** A kill switch works within a minute, or later by the delay of a worker. */
const stopsWithinMs = 60_000;

/** Tables to empty before each run of a scenario with kill switches. */
export const switchTables = ['signalbox.switch', 'signalbox.audit'];

interface Switching {
  /** Returns a worker's `firstSwitchOff`; without switches in the run it needs no boundary. */
  readonly off: (worker: Worker) => FirstSwitchOff;
  readonly acts: readonly Act[];
  /** Wraps an exchange with a partner that must not be used while one of these switches is off. */
  readonly watched: (exchange: Exchange, ...names: readonly string[]) => Exchange;
  /** Returns what a worker does although a switch forbids it, if anything. */
  readonly passed: (boundary: Boundary) => string | undefined;
  /** Returns a request to a partner that was made although its switch was off, if any. */
  readonly broken: () => string | undefined;
}

/** Returns whether a switch forbids a boundary. */
export type Forbids = (boundary: Boundary) => boolean;

/** Forbids statements that `sql` matches (without quotes), in workers with these names. */
export const writing =
  (sql: RegExp, ...functions: readonly string[]): Forbids =>
  ({ kind, label, worker }) =>
    kind === 'sql' &&
    sql.test(label.replaceAll('`', '')) &&
    (!functions.length || functions.some((name) => worker.name.startsWith(`${name}(`)));

/** Forbids these functions to publish messages, directly or through the outbox. */
export const publishing = (...functions: readonly string[]): Forbids =>
  writing(/^\s*insert into signalbox\.outbox/, ...functions);

/** In some runs kill switches are turned off and on: what they name stops, waits, and is done afterwards. */
export function switching<Known extends Switches>(
  { databases, world, faults: { switching: random } }: Stage,
  known: Known,
  names: readonly NamesOf<Known>[],
  withinSeconds: number,
  rules?: Readonly<Partial<Record<NamesOf<Known>, Forbids>>>,
): Switching {
  const unseen = names.find((name) => !name.startsWith('partner/') && !rules?.[name]);
  if (unseen) throw new Error(`No rule for the kill switch ${unseen}.`);
  if (!random)
    return {
      off: () => async () => undefined,
      acts: [],
      watched: (exchange) => exchange,
      passed: () => undefined,
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
  const sinceMs = (name: string, worker: Worker | undefined): number | undefined => {
    const offMs = world.nowMs - (offSinceMs.get(name) ?? world.nowMs);
    return offMs > stopsWithinMs + (worker?.heldUpMs ?? 0) ? offMs : undefined;
  };
  return {
    passed: (boundary) => {
      const { worker, label } = boundary;
      for (const [name, forbids] of Object.entries<Forbids | undefined>(rules ?? {})) {
        const offMs = sinceMs(name, worker);
        if (offMs && forbids?.(boundary))
          return `${worker.name}, ${offMs / 1000} s after ${name} was switched off: ${label.trim().replaceAll(/\s+/g, ' ').slice(0, 120)}`;
      }
      return undefined;
    },
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
          const offMs = sinceMs(name, current()?.worker);
          if (offMs)
            broken ??= `${request.method} ${request.url.pathname} ${offMs / 1000} s after ${name} was switched off.`;
        }
        return exchange(request);
      },
    broken: () => broken,
  };
}
