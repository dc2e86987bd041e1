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
/** A switch stops what it names within a minute, and a worker that is held up takes as much longer. */
const stopsWithinMs = 60_000;

/** Emptied before each run of a scenario in which kill switches are thrown. */
export const switchTables = ['signalbox.switch', 'signalbox.audit'];

interface Switching {
  /** What workers ask; they ask nobody in plays without switches, whose boundaries stay as they are. */
  readonly off: (worker: Worker) => FirstSwitchOff;
  readonly acts: readonly Act[];
  /** The way to a partner, looked at: it must not be used while one of these switches is off. */
  readonly watched: (exchange: Exchange, ...names: readonly string[]) => Exchange;
  /** Says what a worker does under a switch, of which the rules say what it stops. */
  readonly passed: (boundary: Boundary) => string | undefined;
  /** Says which partner was asked under its switch. */
  readonly broken: () => string | undefined;
}

/** Whether a switch forbids a boundary. */
export type Forbids = (boundary: Boundary) => boolean;

/** Writes of functions whose workers have these names; the whole statement is one that `sql` matches, without quotes. */
export const writing =
  (sql: RegExp, ...functions: readonly string[]): Forbids =>
  ({ kind, label, worker }) =>
    kind === 'sql' &&
    sql.test(label.replaceAll('`', '')) &&
    (!functions.length || functions.some((name) => worker.name.startsWith(`${name}(`)));

/** A message that these functions publish, or an entry into the outbox of it. */
export const publishing = (...functions: readonly string[]): Forbids =>
  writing(/^\s*insert into signalbox\.outbox/, ...functions);

/** In some plays kill switches are thrown and lifted: what they name stops, waits, and is done afterwards. */
export function switching<Known extends Switches>(
  { databases, world, faults: { switching: random } }: Stage,
  known: Known,
  names: readonly NamesOf<Known>[],
  withinSeconds: number,
  rules?: Readonly<Partial<Record<NamesOf<Known>, Forbids>>>,
): Switching {
  const unseen = names.find((name) => !name.startsWith('partner/') && !rules?.[name]);
  if (unseen) throw new Error(`No rule says what ${unseen} stops.`);
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
