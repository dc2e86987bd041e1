/** Lists who did what by hand, when and why, for a person who runs `npm run ops -- audit`. */

import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { ListAudit } from '../../lib/platform/operations/inputs.ts';
import { listAudit } from '../../lib/platform/operations/list-audit.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ListAudit, (input) => listAudit(deps, input));
