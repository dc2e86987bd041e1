/** Reports the backlog of the whole product, for a person who runs `npm run ops -- state`. */
import { brokerSwitches } from '../../lib/broker/switches.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { orderSwitches } from '../../lib/order/switches.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { ReportState } from '../../lib/platform/operations/inputs.ts';
import { reportState } from '../../lib/platform/operations/report-state.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  known: { ...brokerSwitches, ...callSwitches, ...orderSwitches },
};

export const handler = byHand(ReportState, (input) => reportState(deps, input));
