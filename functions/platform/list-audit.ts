/** Lists who did what by hand, when and why, for who runs `npm run ops -- audit`. */
import { listAudit } from '../../lib/platform/audit-trail.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { ListAudit } from '../../lib/platform/inputs.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ListAudit, (input) => listAudit(deps, input));
