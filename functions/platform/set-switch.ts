/** Turns a kill switch off or on, for a person who runs `npm run ops -- switch`. */
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { orderSwitches } from '../../lib/order/switches.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { SetSwitch } from '../../lib/platform/operations/inputs.ts';
import { setSwitch } from '../../lib/platform/operations/set-switch.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  known: { ...brokerSwitches, ...callSwitches, ...orderSwitches },
};

export const handler = byHand(SetSwitch, (input) => setSwitch(deps, input));
