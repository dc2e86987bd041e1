/** Drops what should follow a commit and cannot be sent, or makes it due now, for who runs `npm run ops -- outbox`. */
import { byHand } from '../../lib/platform/by-hand.ts';
import { ChangeOutbox } from '../../lib/platform/inputs.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { changeOutbox } from '../../lib/platform/outbox-by-hand.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ChangeOutbox, (input) => changeOutbox(deps, input));
