/** Drops outbox rows that cannot be sent, or makes them due now, for a person who runs `npm run ops -- outbox`. */
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { ChangeOutbox } from '../../lib/platform/operations/inputs.ts';
import { changeOutbox } from '../../lib/platform/operations/outbox-by-hand.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql') };

export const handler = byHand(ChangeOutbox, (input) => changeOutbox(deps, input));
