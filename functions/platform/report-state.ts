/** Says how far behind everything is, for who runs `npm run ops -- state`. */
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { orderSwitches } from '../../lib/order/switches.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { ReportState } from '../../lib/platform/inputs.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { reportState } from '../../lib/platform/state.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  known: { ...brokerSwitches, ...callSwitches, ...orderSwitches },
};

export const handler = byHand(ReportState, (input) => reportState(deps, input));
