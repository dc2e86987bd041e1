/** Lists outbox rows that cannot be sent or are late, for a person who runs `npm run ops -- outbox list`. */
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { ListOutbox } from '../../lib/platform/operations/inputs.ts';
import { listOutbox } from '../../lib/platform/operations/outbox-by-hand.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ListOutbox, (input) => listOutbox(deps, input));
