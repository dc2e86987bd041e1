/** Republishes what changed upstream since a time, when a person starts it. */
import { type Kysely, sql } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { PlatformTables } from '../../platform/tables.ts';
import type { WallTime } from '../../platform/time.ts';
import { type Rewind, rewindParts, type rewindSources } from '../inputs.ts';
import { idsPerMessageMax, sources } from '../queues.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { UpstreamTables } from '../tables.ts';
import { messagesFor } from './event-messages.ts';

/** An upstream table whose changes can be republished: its timestamp column, and the `source` of its messages. */
interface RewindPart {
  readonly source: (typeof rewindSources)[number];
  readonly table: keyof UpstreamTables;
  readonly key: string;
  readonly stamp: string;
  /** The timestamp is a day: the whole day of `since` is republished. */
  readonly daily?: true;
  /** A further SQL condition. */
  readonly only?: string;
}

const stamp = 'updated_datetime';
const parts = {
  brokers: { source: sources.base, table: 'anjuke_db.ajk_broker', key: 'BrokerId', stamp },
  extensions: { source: sources.base, table: 'anjuke_db.ajk_brokerextend', key: 'BrokerId', stamp },
  talents: {
    source: sources.talentAndStar,
    table: 'anjuke_db.ajk_wechat_talent',
    key: 'BrokerId',
    stamp,
  },
  stars: {
    source: sources.talentAndStar,
    table: 'anjuke_db.ajk_star_agent_state',
    key: 'BrokerId',
    stamp: 'Day',
    daily: true,
    only: 'Updated = 1',
  },
  companies: { source: sources.company, table: 'anjuke_db.ajk_company', key: 'CompanyId', stamp },
  stores: { source: sources.store, table: 'anjuke_db.ajk_store', key: 'StoreId', stamp },
} as const satisfies Record<PartName, RewindPart>;
type PartName = (typeof rewindParts)[number];

export interface RewindDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly deliver: Deliver;
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

/** With fewer milliseconds left, no further page is started. */
const endMs = 15_000;
const pageRowsMax = 5_000;

/**
 * Republishes everything that upstream says has changed since a time, for example after a loss that is older than the
 * overlap of the scans. Each page is one transaction with its entry in the audit trail. Publishing is idempotent.
 * Under its kill switch it stops after the current page, and returns the input that resumes it.
 */
export async function rewindProducers(
  deps: RewindDeps,
  input: Rewind,
  hand: Hand,
): Promise<Outcome> {
  const selected = rewindParts.filter(
    (name) => !input.source || parts[name].source === input.source,
  );
  if (input.dryRun) return await countChanges(deps, selected, input.since);
  let { published, from } = input;
  for (const name of selected.slice(from ? selected.indexOf(from.part) : 0)) {
    for (;;) {
      const at = from?.part === name ? from : { part: name, time: sinceOf(name, input), id: '0' };
      const off = await deps.firstSwitchOff('broker/rewind-producers');
      if (off) {
        // Not named `resume`, because `npm run ops -- run` would start it again at once.
        const toResume = { ...input, from: at, published };
        return { outcome: 'switched-off', switch: off, published, toResume };
      }
      const rows = await readPage(deps.upstream, parts[name], at);
      const last = rows.at(-1);
      if (!last) break;
      await publishPage(deps, input, name, rows);
      published += rows.length;
      hand.progress(published, undefined, name);
      from = { part: name, time: last.time, id: last.id };
      if (hand.remaining() < endMs)
        return { outcome: 'unfinished', published, resume: { ...input, from, published } };
      if (rows.length < pageRowsMax) break;
    }
    from = undefined;
  }
  return { outcome: 'republished', since: input.since, published };
}

/** A daily timestamp is compared with the day of `since`. */
const sinceOf = (name: PartName, { since }: Pick<Rewind, 'since'>): string =>
  'daily' in parts[name] ? since.slice(0, 10) : since;

interface ChangedRow {
  readonly id: string;
  readonly time: string;
}

async function readPage(
  upstream: Kysely<UpstreamTables>,
  { table, key, stamp: column, only = 'true' }: RewindPart,
  { time, id }: ChangedRow,
): Promise<ChangedRow[]> {
  const { rows } = await sql<ChangedRow>`
    select ${sql.ref(key)} id, ${sql.ref(column)} time from ${sql.table(table)}
    where ${sql.ref(column)} >= ${time} and (${sql.ref(column)} > ${time} or ${sql.ref(key)} > ${id})
      and ${sql.raw(only)}
    order by ${sql.ref(column)}, ${sql.ref(key)} limit ${pageRowsMax}`.execute(upstream);
  return rows;
}

async function publishPage(
  deps: RewindDeps,
  { since, by = '', why = '' }: Rewind,
  part: PartName,
  rows: readonly ChangedRow[],
): Promise<void> {
  await transactionWithOutbox(deps, async (trx, follow) => {
    const [first, last] = [rows[0], rows.at(-1)];
    const detail = { since, part, rows: rows.length, first, last };
    await audit(trx, { who: by, what: 'producers/rewind', why, detail });
    follow(
      ...messagesFor(
        parts[part].source,
        rows.map(({ id }) => id),
      ),
    );
  });
}

async function countChanges(
  { upstream }: RewindDeps,
  selected: readonly PartName[],
  since: WallTime,
): Promise<Outcome> {
  const changed: Partial<Record<PartName, number>> = {};
  for (const name of selected) {
    const { table, stamp: column, only = 'true' }: RewindPart = parts[name];
    const { rows } = await sql<{ rows: string }>`
      select count(*) \`rows\` from ${sql.table(table)}
      where ${sql.ref(column)} >= ${sinceOf(name, { since })} and ${sql.raw(only)}`.execute(
      upstream,
    );
    changed[name] = Number(rows[0]?.rows);
  }
  const messages = Object.values(changed).map((rows) => Math.ceil(rows / idsPerMessageMax));
  return {
    outcome: 'dry-run',
    since,
    changed,
    messagesAtLeast: messages.reduce((sum, some) => sum + some, 0),
  };
}
