/** Notes in the audit trail what someone did to a queue with `npm run ops`, which has no database. */
import { recordAction } from '../../lib/platform/audit.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { Action } from '../../lib/platform/inputs.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(Action, (action) => recordAction(deps, action));
