/** Records in the audit trail what a person did to a queue with `npm run ops`, which has no database access. */

import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { recordAction } from '../../lib/platform/operations/audit.ts';
import { Action } from '../../lib/platform/operations/inputs.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(Action, (action) => recordAction(deps, action));
