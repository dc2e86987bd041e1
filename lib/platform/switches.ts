import type { Kysely } from 'kysely';
import type { PlatformTables } from './schema.ts';

/** The key under which a list of kill switches says how many members its families have: from 1 to that number. */
export const members: unique symbol = Symbol('members');

/** Kill switches that there are, and what each stops. In the name of a family `<n>` stands for a number. */
export type Switches = Readonly<Record<string, string>> & {
  readonly [members]?: Readonly<Record<string, number>>;
};

/** The names that code may ask for: `order/scenario-<n>` is `order/scenario-8` and the like. */
export type NamesOf<Known extends Switches> = NameOf<keyof Known & string>;
type NameOf<Name extends string> = Name extends `${infer Before}<n>${infer After}`
  ? `${Before}${number}${After}`
  : Name;

/** The name in the list under which there is a kill switch, compared byte for byte: its own, or that of its family. */
export function listedName(known: Switches, name: string): string | undefined {
  if (Object.hasOwn(known, name)) return name;
  const [number = ''] = name.match(/(?<=\D)[1-9]\d{0,8}$/) ?? [];
  const family = `${name.slice(0, name.length - number.length)}<n>`;
  if (!number || !Object.hasOwn(known, family)) return undefined;
  return Number(number) <= (known[members]?.[family] ?? 0) ? family : undefined;
}

/** All names, as a person reads them: of a family also which numbers there are. */
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

/** A switch that is turned stops what it names within this time; it must be less than a minute. */
const maxAgeMs = 10_000;

/**
 * Kill switches, as functions see them: given names, the first of them that is off, read again when it is ten
 * seconds old. A consumer that finds one throws `Postponed(…, { heldBy: name })`: nothing is lost by a stop.
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
    const stopped = await off;
    return names.find((name) => stopped.has(name));
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
