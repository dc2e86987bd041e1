/** Reads from the order database which views and triggers lead to the order table. */
import { type Kysely, sql } from 'kysely';
import { leadingIn, type Made, orderTable, type Routes } from '../decoding/indirect-writes.ts';
import { grantsOf, isGranted } from '../grants.ts';
import type { OrderTables } from '../tables.ts';

/** The routes that our user can see now. */
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
