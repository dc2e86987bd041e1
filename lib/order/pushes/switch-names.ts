/** Names of the kill switches that pushes are checked against. */
import type { OrderSwitch } from '../switches.ts';

/** The kill switch for all requests to the push service. */
export const singerSwitch = 'order/singer' satisfies OrderSwitch;

/** Returns the kill switch of one scenario: its pushes wait, and so do later pushes of the same orders. */
export const scenarioSwitch = (number: number): OrderSwitch => `order/scenario-${number}`;
