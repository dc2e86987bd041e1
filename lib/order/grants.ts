/** Reads the privileges of our user on the order database. */
import { type Kysely, sql } from 'kysely';
import type { OrderTables } from './tables.ts';

/** Privileges of our user on one object, those of its active roles included. */
export interface Grant {
  readonly privileges: ReadonlySet<string>;
  /** The object as MySQL writes it, without quotes: `*.*`, `order_db.*`, `order_db.order`. */
  readonly on: string;
}

/** Returns the grants of our user. Inactive roles are left out, because the binlog connection has none. */
export async function grantsOf(order: Kysely<OrderTables>): Promise<Grant[]> {
  const { rows: roles } = await sql<{ active: string }>`select current_role() active`.execute(
    order,
  );
  const active = roles[0]?.active ?? 'NONE';
  const using = active === 'NONE' ? '' : ` using ${active}`;
  const { rows } = await sql
    .raw<Record<string, string>>(`show grants for current_user()${using}`)
    .execute(order);
  return rows.flatMap((row) => grantIn(Object.values(row)[0] ?? ''));
}

const form = /^GRANT (?<privileges>.+?) ON (?:TABLE )?(?<on>\S+) TO /;

function grantIn(text: string): Grant[] {
  const { privileges = '', on = '' } = form.exec(text)?.groups ?? {};
  if (!on) return [];
  const list = privileges.split(',').map((name) => name.trim().toUpperCase());
  return [{ privileges: new Set(list), on: on.replaceAll('`', '').replaceAll('\\', '') }];
}

/** Returns whether the privilege is granted on `*.*` or on one of the objects `on`. */
export const isGranted = (
  grants: readonly Grant[],
  privilege: string,
  on: readonly string[] = [],
): boolean =>
  grants.some(
    (grant) =>
      (grant.on === '*.*' || on.includes(grant.on)) &&
      (grant.privileges.has(privilege) || grant.privileges.has('ALL PRIVILEGES')),
  );
