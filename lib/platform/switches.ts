import type { Kysely } from 'kysely';
import type { PlatformTables } from './schema.ts';

/** A switch that is turned stops what it names within this time; it must be less than a minute. */
const maxAgeMs = 10_000;

/**
 * Kill switches, as functions see them: given names, the first of them that is off, read again when it is ten
 * seconds old. A consumer that finds one throws `Postponed(…, { heldBy: name })`: nothing is lost by a stop.
 */
export function switches(
  { mysql }: { readonly mysql: Kysely<PlatformTables> },
  now: () => number = Date.now,
): (...names: readonly string[]) => Promise<string | undefined> {
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
