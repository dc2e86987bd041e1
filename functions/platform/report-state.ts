/** Says how far behind everything is, for who runs `npm run ops -- state`. */
import { byHand } from '../../lib/platform/by-hand.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { NoInput, reportState } from '../../lib/platform/state.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(NoInput, () => reportState(deps));
