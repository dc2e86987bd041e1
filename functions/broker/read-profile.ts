/** Shows the site a broker's profile, from the cache where it can. */
import { showProfile } from '../../lib/broker/readings.ts';
import { readProfile } from '../../lib/broker/routes.ts';
import type { ProfileTables } from '../../lib/broker/tables.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { cache } from '../../lib/platform/redis.ts';
import { respond } from '../../lib/platform/respond.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';

const deps = { mysql: mysql<ProfileTables & PlatformTables>('mysql'), cache: cache() };

export const handler = respond(
  readProfile,
  ({ parameters: { id } }) => showProfile(deps, id),
  deps,
);
