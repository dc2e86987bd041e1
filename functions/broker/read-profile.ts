/** Answers the site with a broker's profile, from the cache if possible. */
import { readProfile } from '../../lib/broker/read/read-profile.ts';
import { readProfileRoute } from '../../lib/broker/routes.ts';
import type { ProfileTables } from '../../lib/broker/tables.ts';
import { cache } from '../../lib/platform/cache/redis.ts';
import { respond } from '../../lib/platform/http/respond.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<ProfileTables & PlatformTables>('mysql'), cache: cache() };

export const handler = respond(
  readProfileRoute,
  ({ parameters: { id } }) => readProfile(deps, id),
  deps,
);
