/** Kill switches of the order domain. */
import { members, type NamesOf } from '../platform/operations/switches.ts';

/** Each kill switch with what it stops. */
export const orderSwitches = {
  'order/tail-binlog': 'the reader of the binlog; it resumes where it was',
  'order/singer': 'all pushes; they wait',
  'order/scenario-<n>':
    'pushes of scenario n, 1 to 15, and those after them of the same orders; they wait',
  [members]: { 'order/scenario-<n>': 15 },
} as const;

export type OrderSwitch = NamesOf<typeof orderSwitches>;
