/** Takes an owner's listings offline when there is no money for calls, and shows them again after a top-up. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { listingService } from '../../lib/call/listings/listing-service.ts';
import { switchListings } from '../../lib/call/listings/switch-listings.ts';
import { listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { deliverBy } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const db = mysql<AccountingTables>('mysql');
const deps = {
  mysql: db,
  listings: listingService(settings('call', CallSettings)),
  deliver: deliverBy(bus()),
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = consume(listingSwitches, (one) => switchListings(deps, one), { mysql: db });
