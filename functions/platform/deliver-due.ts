/** Sends outbox rows that writers could not send or that were postponed, so that everything is sent at least once. */
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { cache } from '../../lib/platform/cache/redis.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import { deliverBy, queuesByName } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { PlatformSettings } from '../../lib/platform/settings.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { pause } from '../../lib/platform/time.ts';

/** Invalidations that the cache does not confirm stay due, so it waits long and never pauses. */
const slowCache = cache({ timeoutMs: 3_000, pauseMs: 0 });

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  deliver: deliverBy(queuesByName(), bus(), invalidation(slowCache)),
  settings: settings('platform', PlatformSettings),
  pause,
};

export const handler = schedule((tick) => deliverDue(deps, tick));
