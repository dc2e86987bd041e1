/** Reads a broker's profile, through the cache. */
import type { Kysely } from 'kysely';
import * as z from 'zod';
import { type CacheResult, readThrough } from '../../platform/cache/read-through-cache.ts';
import type { Cache } from '../../platform/cache/redis.ts';
import { refusal } from '../../platform/http/refusal.ts';
import type { AnswerOf } from '../../platform/http/route.ts';
import { isId } from '../../platform/ids.ts';
import { companyKey, profileKey, storeKey } from '../cache-keys.ts';
import { Profile, type readProfileRoute } from '../routes.ts';
import type { ProfileTables } from '../tables.ts';

export interface ReadProfileDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly cache: Cache;
}

/** The cached part of a profile; the names of company and store are cached under their own keys. */
const Row = Profile.omit({ company_name: true, store_name: true, store_address: true });
type Row = z.infer<typeof Row>;
const Company = z.object({ name: z.string().nullable() });
const Store = z.object({ name: z.string().nullable(), address: z.string().nullable() });

/** Answers with a profile as the site shows it. If the cache is unavailable the profile comes from MySQL. */
export async function readProfile(
  deps: ReadProfileDeps,
  id: string,
): Promise<AnswerOf<typeof readProfileRoute>> {
  if (!isId(id))
    return refusal('invalid_body', 'The id of a broker must be a positive integer.', {
      issues: [{ path: 'id', message: 'Expected a positive integer' }],
    });
  const { profile, from } = await profileOf(deps, id);
  if (!profile) return refusal('not_found', 'No broker has this id.');
  return { status: 200, outcome: from === 'cache' ? 'read-from-cache' : 'read', body: profile };
}

/** Returns the profile as the site shows it, and whether all of it came from the cache. */
export async function profileOf(
  { mysql, cache }: ReadProfileDeps,
  id: string,
): Promise<{ profile: Profile | undefined; from: CacheResult<unknown>['from'] }> {
  const row = await readThrough({ cache, schema: Row }, profileKey(id), () => rowOf(mysql, id));
  if (!row.value) return { profile: undefined, from: row.from };
  const { company_id, store_id } = row.value;
  const [company, store] = await Promise.all([
    company_id === null
      ? undefined
      : readThrough({ cache, schema: Company }, companyKey(company_id), () =>
          companyOf(mysql, company_id),
        ),
    store_id === null
      ? undefined
      : readThrough({ cache, schema: Store }, storeKey(store_id), () => storeOf(mysql, store_id)),
  ]);
  const profile = {
    ...row.value,
    company_name: company?.value?.name ?? null,
    store_name: store?.value?.name ?? null,
    store_address: store?.value?.address ?? null,
  };
  const all = [row, company, store].every((part) => part === undefined || part.from === 'cache');
  return { profile, from: all ? 'cache' : 'database' };
}

async function rowOf(mysql: Kysely<ProfileTables>, id: string): Promise<Row | undefined> {
  const row = await mysql
    .selectFrom('user_prop_db.broker_base as base')
    .leftJoin('user_prop_db.broker_ext_profile as ext', (join) =>
      join.onRef('ext.broker_id', '=', 'base.broker_id').on('ext.is_deleted', '=', 0),
    )
    .select(['base.broker_id', 'true_name', 'city_id', 'company_id', 'store_id', 'photo', 'mobile'])
    .select(['weidian_name', 'wechat_name', 'weidian_qrcode', 'is_wechat_talent', 'talent_level'])
    .select(['is_star_agent', 'stars', 'source_updated_at as updated_at'])
    .where('base.broker_id', '=', id)
    .where('base.is_deleted', '=', 0)
    .executeTakeFirst();
  return (
    row && {
      ...row,
      is_wechat_talent: row.is_wechat_talent === 1,
      is_star_agent: row.is_star_agent === 1,
    }
  );
}

const companyOf = (mysql: Kysely<ProfileTables>, id: string) =>
  mysql
    .selectFrom('user_prop_db.broker_company')
    .select('name')
    .where('company_id', '=', id)
    .where('is_deleted', '=', 0)
    .executeTakeFirst();

const storeOf = (mysql: Kysely<ProfileTables>, id: string) =>
  mysql
    .selectFrom('user_prop_db.broker_store')
    .select(['name', 'address'])
    .where('store_id', '=', id)
    .where('is_deleted', '=', 0)
    .executeTakeFirst();
