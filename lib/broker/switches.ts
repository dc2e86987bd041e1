/** Kill switches of the broker domain. */
import type { NamesOf } from '../platform/operations/switches.ts';

/** Each kill switch with what it stops. */
export const brokerSwitches = {
  'broker/accept-event': 'POST /publish: upstream systems get 503 and have to retry',
  'broker/publish-base-changes': 'the scan for changed brokers',
  'broker/publish-company-changes': 'the scan for changed companies',
  'broker/publish-store-changes': 'the scan for changed stores',
  'broker/publish-ext-profiles': 'the synchronisation of extended profiles, in every mode',
  'broker/publish-ext-profiles:weidian': 'the synchronisation of micro shops',
  'broker/publish-ext-profiles:star': 'the synchronisation of star agents',
  'broker/publish-ext-profiles:talent-and-star': 'the nightly synchronisation of talents and stars',
  'broker/publish-all-bases': 'full runs over all brokers',
  'broker/publish-all-companies': 'full runs over all companies',
  'broker/publish-all-stores': 'full runs over all stores',
  'broker/reconcile-profiles': 'the daily comparison with upstream, and what it repairs',
  'broker/rewind-producers': 'republishing changes since a time',
  'broker/send-canary': 'the canary; scan lag and age of unapplied changes are still measured',
  'partner/weishop': 'all calls to the micro shop service; changes of extended profiles wait',
} as const;

export type BrokerSwitch = NamesOf<typeof brokerSwitches>;
