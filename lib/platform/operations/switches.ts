/** Kill switches: their names, and how functions read them. */
import type { Kysely } from 'kysely';
import type { PlatformTables } from '../tables.ts';

/** The key of the number of members of each family in a list of kill switches. Members are numbered from 1. */
export const members: unique symbol = Symbol('members');

/** The existing kill switches, each with what it stops. `<n>` in the name of a family is a placeholder for a number. */
export type Switches = Readonly<Record<string, string>> & {
  readonly [members]?: Readonly<Record<string, number>>;
};

/** The names that code may check: `order/scenario-<n>` means `order/scenario-8` and so on. */
export type NamesOf<Known extends Switches> = NameOf<keyof Known & string>;
type NameOf<Name extends string> = Name extends `${infer Before}<n>${infer After}`
  ? `${Before}${number}${After}`
  : Name;

/** Returns the listed name of a kill switch, compared byte for byte: its own name, or that of its family. */
export function listedName(known: Switches, name: string): string | undefined {
  if (Object.hasOwn(known, name)) return name;
  const [number = ''] = name.match(/(?<=\D)[1-9]\d{0,8}$/) ?? [];
  const family = `${name.slice(0, name.length - number.length)}<n>`;
  if (!number || !Object.hasOwn(known, family)) return undefined;
  return Number(number) <= (known[members]?.[family] ?? 0) ? family : undefined;
}

/** Returns all names for a person; for a family with the range of its numbers. */
export const namesIn = (known: Switches): string[] =>
  Object.keys(known).map((name) =>
    isFamily(name) ? `${name} (n from 1 to ${known[members]?.[name] ?? 0})` : name,
  );

export const isFamily = (name: string): boolean => name.includes('<n>');

export const isSwitch = (known: Switches, name: string): boolean =>
  listedName(known, name) !== undefined;

/** Returns the first of these kill switches that is off. */
export type FirstSwitchOff<Name extends string = string> = (
  ...names: readonly Name[]
) => Promise<string | undefined>;

/**
 * The maximum age of the cached switches, and so the delay after which a change takes effect. It must be less than a
 * minute.
 */
const maxAgeMs = 10_000;

/**
 * Returns a function that returns the first of the given kill switches that is off. The switches are cached for ten
 * seconds. A consumer that finds a switch off throws `Postponed(…, { heldBy: name })`, so no message is lost.
 */
export function switches(
  { mysql }: { readonly mysql: Kysely<PlatformTables> },
  now: () => number = Date.now,
): FirstSwitchOff {
  let off: Promise<Set<string>> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  return async (...names) => {
    if (!off || now() - readAt > maxAgeMs) {
      readAt = now();
      off = readOff(mysql);
      off.catch(() => {
        off = undefined;
      });
    }
    const namesOff = await off;
    return names.find((name) => namesOff.has(name));
  };
}

async function readOff(mysql: Kysely<PlatformTables>): Promise<Set<string>> {
  const rows = await mysql
    .selectFrom('signalbox.switch')
    .select('name')
    .where('state', '=', 'off')
    .execute();
  return new Set(rows.map(({ name }) => name));
}
