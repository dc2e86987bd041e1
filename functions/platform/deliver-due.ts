/** Sends what writers could not send and what was postponed, so that all that follows a commit does follow. */
import { bus } from '../../lib/platform/bus.ts';
import { settings } from '../../lib/platform/config.ts';
import { deliverDue } from '../../lib/platform/delivery.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { anyQueue, deliverBy } from '../../lib/platform/outbox.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { PlatformSettings } from '../../lib/platform/settings.ts';
import { pause } from '../../lib/platform/time.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  deliver: deliverBy(anyQueue(), bus()),
  settings: settings('platform', PlatformSettings),
  pause,
};

export const handler = schedule((tick) => deliverDue(deps, tick));
