/** Compares the user-facing tables with upstream, by ranges of ids or for single ids. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { idMax } from '../../platform/ids.ts';
import { type Source, sources } from '../queues.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';

/** One side of a comparison: the rows that the site shows, or should show. */
interface Side {
  readonly from: string;
  readonly id: string;
  readonly shown: string;
  /** The expressions that must be equal, in the same order on both sides. */
  readonly content: readonly string[];
}

interface Comparison {
  /** The `source` of a message that has such a row applied again. */
  readonly source: Source;
  readonly upstream: Side;
  readonly site: Side;
}

/** SQL for a text as our column stores it: MySQL silently cuts trailing blanks that do not fit. */
const storedText = (column: string, charactersMax: number): string =>
  `if(char_length(rtrim(${column})) <= ${charactersMax}, left(${column}, ${charactersMax}), ${column})`;

/**
 * The user-facing tables and their upstream sources. Rows that are not shown count as absent on both sides, because a
 * row that is marked deleted may hold any values.
 */
const comparisons = {
  base: {
    source: sources.base,
    upstream: {
      from: `anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_brokerextend extend on extend.BrokerId = broker.BrokerId`,
      id: 'broker.BrokerId',
      shown: 'broker.Status = 1',
      content: [
        storedText('broker.TrueName', 64),
        'broker.CityId',
        'broker.CompanyId',
        'broker.StoreId',
        storedText('broker.Photo', 255),
        storedText('extend.UserMobile', 20),
      ],
    },
    site: {
      from: 'user_prop_db.broker_base',
      id: 'broker_id',
      shown: 'is_deleted = 0',
      content: ['true_name', 'city_id', 'company_id', 'store_id', 'photo', 'mobile'],
    },
  },
  company: {
    source: sources.company,
    upstream: {
      from: 'anjuke_db.ajk_company',
      id: 'CompanyId',
      shown: 'Status = 1',
      content: [storedText('ShortName', 64)],
    },
    site: {
      from: 'user_prop_db.broker_company',
      id: 'company_id',
      shown: 'is_deleted = 0',
      content: ['name'],
    },
  },
  store: {
    source: sources.store,
    upstream: {
      from: 'anjuke_db.ajk_store',
      id: 'StoreId',
      shown: 'Status = 1',
      content: ['CompanyId', storedText('StoreName', 128), storedText('Address', 255)],
    },
    site: {
      from: 'user_prop_db.broker_store',
      id: 'store_id',
      shown: 'is_deleted = 0',
      content: ['company_id', 'name', 'address'],
    },
  },
  /** Talents and star agents. Micro shops cannot be compared by ranges, because the service is queried by id. */
  extended: {
    source: sources.talentAndStar,
    upstream: {
      from: `anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_wechat_talent talent on talent.BrokerId = broker.BrokerId
        left join anjuke_db.ajk_star_agent star on star.BrokerId = broker.BrokerId`,
      id: 'broker.BrokerId',
      shown: 'broker.Status = 1 and (talent.IsTalent = 1 or star.IsStar = 1)',
      content: [
        'coalesce(talent.IsTalent = 1, 0)',
        'if(talent.IsTalent = 1, talent.Level, null)',
        'coalesce(star.IsStar = 1, 0)',
        'if(star.IsStar = 1, star.Stars, null)',
      ],
    },
    site: {
      from: 'user_prop_db.broker_ext_profile',
      id: 'broker_id',
      shown: 'is_deleted = 0 and (is_wechat_talent = 1 or is_star_agent = 1)',
      content: [
        'coalesce(is_wechat_talent = 1, 0)',
        'if(is_wechat_talent = 1, talent_level, null)',
        'coalesce(is_star_agent = 1, 0)',
        'if(is_star_agent = 1, stars, null)',
      ],
    },
  },
} as const satisfies Record<string, Comparison>;

export type ComparedEntity = keyof typeof comparisons;
/** In the order in which a round compares them. */
export const comparedEntities = Object.keys(comparisons) as readonly ComparedEntity[];

export const sourceOf = (entity: ComparedEntity): Source => comparisons[entity].source;

export interface ComparisonDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
}

type Server = ComparisonDeps[keyof ComparisonDeps];

/** A row that differs between the sides. `upstreamHash` is null if the row is absent upstream. */
export interface Difference {
  readonly id: string;
  readonly upstreamHash: string | null;
}

interface Range {
  /** The last id of the range; `undefined` if nothing is left after it. */
  readonly upTo: string | undefined;
  readonly compared: number;
  readonly differences: readonly Difference[];
}

/**
 * Compares the next ids after one, at most `rowsMax` of each side: first the count and hash of the whole range, and
 * row by row only if these differ. The sides are not read in one snapshot, so a row that changes meanwhile may differ.
 */
export async function compareRange(
  { mysql, upstream }: ComparisonDeps,
  entity: ComparedEntity,
  after: string,
  rowsMax: number,
): Promise<Range> {
  const sides = comparisons[entity];
  const ends = await Promise.all([
    nthId(upstream, sides.upstream, after, rowsMax),
    nthId(mysql, sides.site, after, rowsMax),
  ]);
  const upTo = smallerId(ends);
  const within = (side: Side) =>
    sql`${sql.raw(side.id)} > ${after} and ${sql.raw(side.id)} <= ${upTo ?? idMax}`;
  const [expected, actual] = await Promise.all([
    summarize(upstream, sides.upstream, within(sides.upstream)),
    summarize(mysql, sides.site, within(sides.site)),
  ]);
  const isEqual = expected.rows === actual.rows && expected.hash === actual.hash;
  const differences = isEqual
    ? []
    : await findDifferences({ mysql, upstream }, sides, within(sides.upstream), within(sides.site));
  return { upTo, compared: expected.rows, differences };
}

/** Compares only these ids. */
export async function compareIds(
  deps: ComparisonDeps,
  entity: ComparedEntity,
  ids: readonly string[],
): Promise<Difference[]> {
  const sides = comparisons[entity];
  const among = (side: Side) => sql`${sql.raw(side.id)} in (${sql.join(ids)})`;
  return await findDifferences(deps, sides, among(sides.upstream), among(sides.site));
}

type Where = RawBuilder<unknown>;

async function nthId(
  mysql: Server,
  { from, id, shown }: Side,
  after: string,
  n: number,
): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    select ${sql.raw(id)} id from ${sql.raw(from)}
    where ${sql.raw(id)} > ${after} and ${sql.raw(id)} <= ${idMax} and (${sql.raw(shown)})
    order by ${sql.raw(id)} limit 1 offset ${n - 1}`.execute(mysql);
  return rows[0]?.id;
}

/** Returns the smaller of two ids; an undefined one counts as infinite. */
const smallerId = ([one, other]: readonly (string | undefined)[]): string | undefined =>
  one === undefined || (other !== undefined && BigInt(other) < BigInt(one)) ? other : one;

/** SQL for the hash of a row. Texts are converted to one character set; null differs from every text. */
const hashOf = ({ id, content }: Side): Where => {
  const values = content.map((column) => `coalesce(hex(convert(${column} using utf8mb4)), '-')`);
  return sql.raw(`md5(concat_ws(',', ${[id, ...values].join(', ')}))`);
};

async function summarize(mysql: Server, side: Side, within: Where) {
  const { rows } = await sql<{ count: string; hash: string }>`
    select count(*) count, bit_xor(cast(conv(left(${hashOf(side)}, 16), 16, 10) as unsigned)) hash
    from ${sql.raw(side.from)} where ${within} and (${sql.raw(side.shown)})`.execute(mysql);
  return { rows: Number(rows[0]?.count), hash: String(rows[0]?.hash) };
}

async function findDifferences(
  { mysql, upstream }: ComparisonDeps,
  sides: Comparison,
  upstreamWhere: Where,
  siteWhere: Where,
): Promise<Difference[]> {
  const [expected, actual] = await Promise.all([
    hashesById(upstream, sides.upstream, upstreamWhere),
    hashesById(mysql, sides.site, siteWhere),
  ]);
  const differences: Difference[] = [];
  for (const [id, upstreamHash] of expected)
    if (actual.get(id) !== upstreamHash) differences.push({ id, upstreamHash });
  for (const id of actual.keys())
    if (!expected.has(id)) differences.push({ id, upstreamHash: null });
  return differences;
}

async function hashesById(
  mysql: Server,
  side: Side,
  where: Where,
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ id: string; hash: string }>`
    select ${sql.raw(side.id)} id, ${hashOf(side)} hash
    from ${sql.raw(side.from)} where ${where} and (${sql.raw(side.shown)})`.execute(mysql);
  return new Map(rows.map(({ id, hash }) => [String(id), hash]));
}
