/** Sends what writers could not send and what was postponed, so that all that follows a commit does follow. */
import { bus } from '../../lib/platform/bus.ts';
import { settings } from '../../lib/platform/config.ts';
import { deliverDue } from '../../lib/platform/delivery.ts';
import { invalidation } from '../../lib/platform/invalidation.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { anyQueue, deliverBy } from '../../lib/platform/outbox.ts';
import { cache } from '../../lib/platform/redis.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { PlatformSettings } from '../../lib/platform/settings.ts';
import { pause } from '../../lib/platform/time.ts';

/** It asks each time and waits long: what the cache does not confirm stays due. */
const patient = cache({ timeoutMs: 3_000, pauseMs: 0 });

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  deliver: deliverBy(anyQueue(), bus(), invalidation(patient)),
  settings: settings('platform', PlatformSettings),
  pause,
};

export const handler = schedule((tick) => deliverDue(deps, tick));
