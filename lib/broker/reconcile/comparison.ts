import { type Kysely, type RawBuilder, sql } from 'kysely';
import { idMax } from '../../platform/ids.ts';
import { type Source, sources } from '../queues.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';

/** One side of a comparison: the rows that the site shows, or should show. */
interface Side {
  readonly from: string;
  readonly id: string;
  readonly shown: string;
  /** What must be equal, in the same order on both sides. */
  readonly content: readonly string[];
}

interface Compared {
  /** What a message says whose consumer makes such a row equal again. */
  readonly source: Source;
  readonly upstream: Side;
  readonly site: Side;
}

/** A text as a column of ours keeps it: MySQL leaves out blanks at the end that it has no room for, without a word. */
const text = (column: string, charactersMax: number): string =>
  `if(char_length(rtrim(${column})) <= ${charactersMax}, left(${column}, ${charactersMax}), ${column})`;

/**
 * What the site shows and what it is made of. Rows that nobody is shown count as absent, on both sides: a row which
 * is marked deleted may hold anything.
 */
const compared = {
  base: {
    source: sources.base,
    upstream: {
      from: `anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_brokerextend extend on extend.BrokerId = broker.BrokerId`,
      id: 'broker.BrokerId',
      shown: 'broker.Status = 1',
      content: [
        ...[text('broker.TrueName', 64), 'broker.CityId', 'broker.CompanyId', 'broker.StoreId'],
        ...[text('broker.Photo', 255), text('extend.UserMobile', 20)],
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
      content: [text('ShortName', 64)],
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
      content: ['CompanyId', text('StoreName', 128), text('Address', 255)],
    },
    site: {
      from: 'user_prop_db.broker_store',
      id: 'store_id',
      shown: 'is_deleted = 0',
      content: ['company_id', 'name', 'address'],
    },
  },
  /** Talents and star agents. The micro-shop's part cannot be compared by ranges: the shop is asked by id. */
  extended: {
    source: sources.talentAndStar,
    upstream: {
      from: `anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_wechat_talent talent on talent.BrokerId = broker.BrokerId
        left join anjuke_db.ajk_star_agent star on star.BrokerId = broker.BrokerId`,
      id: 'broker.BrokerId',
      shown: 'broker.Status = 1 and (talent.IsTalent = 1 or star.IsStar = 1)',
      content: [
        ...['coalesce(talent.IsTalent = 1, 0)', 'if(talent.IsTalent = 1, talent.Level, null)'],
        ...['coalesce(star.IsStar = 1, 0)', 'if(star.IsStar = 1, star.Stars, null)'],
      ],
    },
    site: {
      from: 'user_prop_db.broker_ext_profile',
      id: 'broker_id',
      shown: 'is_deleted = 0 and (is_wechat_talent = 1 or is_star_agent = 1)',
      content: [
        ...['coalesce(is_wechat_talent = 1, 0)', 'if(is_wechat_talent = 1, talent_level, null)'],
        ...['coalesce(is_star_agent = 1, 0)', 'if(is_star_agent = 1, stars, null)'],
      ],
    },
  },
} as const satisfies Record<string, Compared>;

export type ComparedEntity = keyof typeof compared;
/** In the order in which they are compared. */
export const comparedEntities = Object.keys(compared) as readonly ComparedEntity[];

export const sourceOf = (kind: ComparedEntity): Source => compared[kind].source;

export interface ComparisonDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
}

type Server = ComparisonDeps[keyof ComparisonDeps];

/** A row that the sides do not agree on; without a hash upstream does not show it. */
export interface Difference {
  readonly id: string;
  readonly upstreamHash: string | null;
}

interface Range {
  /** The last id that was compared; undefined at the end. */
  readonly upTo: string | undefined;
  readonly compared: number;
  readonly differences: readonly Difference[];
}

/**
 * Compares the next ids after one, at most `rowsMax` of either side: by count and hash of the whole range, and row by
 * row only where these differ. The sides are read one after the other: what changes meanwhile may differ.
 */
export async function compareRange(
  { mysql, upstream }: ComparisonDeps,
  kind: ComparedEntity,
  after: string,
  rowsMax: number,
): Promise<Range> {
  const sides = compared[kind];
  const ends = await Promise.all([
    nthId(upstream, sides.upstream, after, rowsMax),
    nthId(mysql, sides.site, after, rowsMax),
  ]);
  const upTo = least(ends);
  const within = (side: Side) =>
    sql`${sql.raw(side.id)} > ${after} and ${sql.raw(side.id)} <= ${upTo ?? idMax}`;
  const [there, here] = await Promise.all([
    summary(upstream, sides.upstream, within(sides.upstream)),
    summary(mysql, sides.site, within(sides.site)),
  ]);
  const equal = there.rows === here.rows && there.hash === here.hash;
  const differences = equal
    ? []
    : await differing({ mysql, upstream }, sides, within(sides.upstream), within(sides.site));
  return { upTo, compared: there.rows, differences };
}

/** Compares just these ids. */
export async function compareIds(
  deps: ComparisonDeps,
  kind: ComparedEntity,
  ids: readonly string[],
): Promise<Difference[]> {
  const sides = compared[kind];
  const among = (side: Side) => sql`${sql.raw(side.id)} in (${sql.join(ids)})`;
  return await differing(deps, sides, among(sides.upstream), among(sides.site));
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

const least = ([one, other]: readonly (string | undefined)[]): string | undefined =>
  one === undefined || (other !== undefined && BigInt(other) < BigInt(one)) ? other : one;

/** Texts in one character set, whatever the column's; a null is no text. */
const hashOf = ({ id, content }: Side): Where => {
  const values = content.map((column) => `coalesce(hex(convert(${column} using utf8mb4)), '-')`);
  return sql.raw(`md5(concat_ws(',', ${[id, ...values].join(', ')}))`);
};

async function summary(mysql: Server, side: Side, within: Where) {
  const { rows } = await sql<{ count: string; hash: string }>`
    select count(*) count, bit_xor(cast(conv(left(${hashOf(side)}, 16), 16, 10) as unsigned)) hash
    from ${sql.raw(side.from)} where ${within} and (${sql.raw(side.shown)})`.execute(mysql);
  return { rows: Number(rows[0]?.count), hash: String(rows[0]?.hash) };
}

async function differing(
  { mysql, upstream }: ComparisonDeps,
  sides: Compared,
  there: Where,
  here: Where,
): Promise<Difference[]> {
  const [wanted, shown] = await Promise.all([
    hashes(upstream, sides.upstream, there),
    hashes(mysql, sides.site, here),
  ]);
  const differences: Difference[] = [];
  for (const [id, upstreamHash] of wanted)
    if (shown.get(id) !== upstreamHash) differences.push({ id, upstreamHash });
  for (const id of shown.keys()) if (!wanted.has(id)) differences.push({ id, upstreamHash: null });
  return differences;
}

async function hashes(
  mysql: Server,
  side: Side,
  where: Where,
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ id: string; hash: string }>`
    select ${sql.raw(side.id)} id, ${hashOf(side)} hash
    from ${sql.raw(side.from)} where ${where} and (${sql.raw(side.shown)})`.execute(mysql);
  return new Map(rows.map(({ id, hash }) => [String(id), hash]));
}
