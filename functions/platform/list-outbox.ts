/** Lists what should follow a commit and cannot be sent, or is late, for who runs `npm run ops -- outbox list`. */
import { byHand } from '../../lib/platform/by-hand.ts';
import { ListOutbox } from '../../lib/platform/inputs.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { listOutbox } from '../../lib/platform/outbox-by-hand.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ListOutbox, (input) => listOutbox(deps, input));
