/** Finds statements that change orders through views, triggers and procedures. */
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

/** A view, or a table with a trigger, and the text of it. */
export interface Made {
  readonly schema: string;
  readonly name: string;
  /** Empty if our user may not read it. */
  readonly text: string | null;
}

/** The ones that lead to the order table, also by others. One whose text cannot be seen may do so. */
export function leadingIn(made: readonly Made[]): Set<string> {
  const leading = new Set<string>();
  const read = made.map((one) => ({ ...one, tokens: tokensOf(one.text ?? '') }));
  let before: number;
  do {
    before = leading.size;
    for (const { schema, name, tokens } of read)
      if (!tokens.length || leadsOn(tokens, leading)) leading.add(keyOf(schema, name));
  } while (leading.size > before);
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
