/** Finds statements that write to the order table, directly or through views and triggers. */
import { type Kysely, sql } from 'kysely';
import { grantsOf, isGranted } from '../grants.ts';
import type { OrderTables } from '../tables.ts';
import {
  madeBy,
  names,
  namesSchema,
  type TableName,
  type Token,
  targetsOf,
  tokensOf,
} from './statements.ts';

/** The table whose rows are read. */
export const orderTable = { schema: 'order_db', table: 'order' } as const;

/** A statement in the binlog. */
export interface Statement {
  readonly sql: string;
  /** The session's schema. */
  readonly schema: string;
  /** The schemas of all tables that the statement used; undefined if the binlog does not list them. */
  readonly databases: readonly string[] | undefined;
}

/**
 * Tables and views through which a statement may write to the order table without naming it: views of
 * the order table, and tables with a trigger that names it.
 */
export interface Routes {
  readonly names: Set<string>;
  /** Whether our user may read the triggers of the order database, which needs the privilege TRIGGER. */
  readonly triggersSeen: boolean;
}

export const noRoutes = (): Routes => ({ names: new Set(), triggersSeen: false });

const keyOf = (schema: string, table: string): string => `${schema}.${table}`.toLowerCase();

/** Reads the routes that our user may see. */
export async function routesOf(order: Kysely<OrderTables>): Promise<Routes> {
  const { rows } = await sql<Made>`
    select table_schema \`schema\`, table_name \`name\`, view_definition \`text\` from information_schema.views
    where table_schema not in ('sys', 'mysql', 'information_schema', 'performance_schema')
    union all
    select event_object_schema, event_object_table, action_statement from information_schema.triggers
    where event_object_schema <> 'sys'`.execute(order);
  const { schema } = orderTable;
  const triggersSeen = isGranted(await grantsOf(order), 'TRIGGER', [`${schema}.*`]);
  return { names: leadingIn(rows), triggersSeen };
}

interface Made {
  readonly schema: string;
  readonly name: string;
  /** Empty if our user may not read it. */
  readonly text: string | null;
}

/** Returns those that lead to the order table, directly or through others. One with a hidden text counts. */
function leadingIn(made: readonly Made[]): Set<string> {
  const leading = new Set<string>();
  let left = made.map((one) => ({ ...one, tokens: tokensOf(one.text ?? '') }));
  for (let before = -1; before !== leading.size; ) {
    before = leading.size;
    const found = left.filter(({ tokens }) => !tokens.length || leadsOn(tokens, leading));
    for (const { schema, name } of found) leading.add(keyOf(schema, name));
    left = left.filter((one) => !found.includes(one));
  }
  return leading;
}

const leadsOn = (tokens: readonly Token[], leading: ReadonlySet<string>): boolean =>
  names(tokens, orderTable.table) ||
  [...leading].some((name) => names(tokens, name.slice(name.indexOf('.') + 1)));

/**
 * Returns what a statement in the binlog may have done to orders. `unclear`: a trigger that our user may
 * not read may have changed one. Views and triggers that the statement creates are added to `routes`.
 */
export function effectOf(
  { sql: text, schema, databases }: Statement,
  routes: Routes,
): 'none' | 'unclear' | 'changes orders' {
  const isOurs = (name: string) => name.toLowerCase() === orderTable.schema;
  if (databases && !databases.some(isOurs)) return 'none';
  const tokens = tokensOf(text);
  const targets = targetsOf(tokens);
  if (targets === 'nothing') {
    note(tokens, schema, routes);
    return 'none';
  }
  if (targets === 'unknown')
    return databases || names(tokens, orderTable.table) ? 'changes orders' : 'none';
  const written = targets.map((target) => ({ ...target, schema: target.schema ?? schema }));
  const order = keyOf(orderTable.schema, orderTable.table);
  if (written.some((one) => keyOf(one.schema, one.table) === order)) return 'changes orders';
  if (written.some((one) => routes.names.has(keyOf(one.schema, one.table))))
    return 'changes orders';
  // The statement used a table of the order database that its text does not name: through a view or trigger.
  if (databases && !isNamed(tokens, targets, schema)) return 'changes orders';
  const mayFire = !databases || written.some((one) => isOurs(one.schema));
  return mayFire && !routes.triggersSeen ? 'unclear' : 'none';
}

/** Returns whether the text names a table of the order database. */
function isNamed(tokens: readonly Token[], targets: readonly TableName[], schema: string): boolean {
  if (namesSchema(tokens, orderTable.schema)) return true;
  if (schema.toLowerCase() !== orderTable.schema) return false;
  const reads = tokens.some(({ kind, value }) => kind === 'name' && /^(from|join)$/.test(value));
  return reads || targets.some((target) => target.schema === undefined);
}

function note(tokens: readonly Token[], schema: string, routes: Routes): void {
  const made = madeBy(tokens);
  if (!made || !leadsOn(made.text, routes.names)) return;
  routes.names.add(keyOf(made.name.schema ?? schema, made.name.table));
}
