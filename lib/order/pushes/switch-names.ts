import type { OrderSwitch } from '../switches.ts';

/** The kill switch of everything that goes to the push service. */
export const singerSwitch = 'order/singer' satisfies OrderSwitch;

/** The kill switch of one scenario: its pushes wait, and those after them of the same orders. */
export const scenarioSwitch = (number: number): OrderSwitch => `order/scenario-${number}`;
