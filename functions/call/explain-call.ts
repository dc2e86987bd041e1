/** Tells support why a call was charged or not, and what followed. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { explainCall } from '../../lib/call/filtering/explain-call.ts';
import { explainCallRoute } from '../../lib/call/routes.ts';
import { respond } from '../../lib/platform/http/respond.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';

const deps = { mysql: mysql<AccountingTables>('mysql') };

export const handler = respond(
  explainCallRoute,
  ({ parameters: { call_id } }) => explainCall(deps, call_id),
  deps,
);
