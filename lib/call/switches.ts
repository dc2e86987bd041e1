/** Kill switches of this domain. */
import type { NamesOf } from '../platform/operations/switches.ts';

/** What each kill switch stops. */
export const callSwitches = {
  'call/filter-call': 'decisions about calls; calls wait undecided',
  charging: 'charges; calls are filtered and then wait',
  'partner/payment':
    'all calls to the payment centre; charges and reversals wait, statements are missing',
  'partner/listing': 'all calls to the listing service; listings stay as they are',
  'partner/k3': 'all calls to K3; contracts wait, and are not compared',
} as const;

export type CallSwitch = NamesOf<typeof callSwitches>;
