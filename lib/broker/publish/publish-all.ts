import { type Kysely, sql } from 'kysely';
import type { Answer, Hand } from '../../platform/lambda/by-hand.ts';
import type { Lease } from '../../platform/mysql/lease.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { PublishAll } from '../inputs.ts';
import { type Source, sources } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { FullRunTables, ProfileTables, UpstreamTables } from '../tables.ts';
import {
  continueRun,
  type FullRun,
  type FullRunDeps,
  type IdSource,
  lastFullRun,
  mergeIdSources,
  startFullRun,
  withExclusiveRun,
} from './full-run.ts';
import { everyBase, everyCompany, everyStore } from './id-sources.ts';

interface PublishAllDeps extends FullRunDeps {
  readonly mysql: Kysely<FullRunTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
  readonly pause: (ms: number) => Promise<void>;
}

interface FullProducer {
  /** The function, its kill switch, its claim and its row. */
  readonly name: string;
  readonly source: Source;
  readonly table: keyof UpstreamTables;
  readonly places: (
    upstream: Kysely<UpstreamTables>,
    ours: Kysely<ProfileTables>,
  ) => readonly IdSource[];
}

const bases: FullProducer = {
  name: 'broker/publish-all-bases',
  source: sources.base,
  table: 'anjuke_db.ajk_broker',
  places: everyBase,
};
const companies: FullProducer = {
  name: 'broker/publish-all-companies',
  source: sources.company,
  table: 'anjuke_db.ajk_company',
  places: everyCompany,
};
const stores: FullProducer = {
  name: 'broker/publish-all-stores',
  source: sources.store,
  table: 'anjuke_db.ajk_store',
  places: everyStore,
};

type Publish = (deps: PublishAllDeps, input: PublishAll, hand: Hand) => Promise<Answer>;

/** Each publishes everything once: all that upstream has, and what is shown although it is gone there. */
export const publishAllBases: Publish = (...args) => publishAll(bases, ...args);
export const publishAllCompanies: Publish = (...args) => publishAll(companies, ...args);
export const publishAllStores: Publish = (...args) => publishAll(stores, ...args);

/** A run that was killed is gone on with by the next call, from the page at which it stood. */
async function publishAll(
  all: FullProducer,
  deps: PublishAllDeps,
  input: PublishAll,
  { remaining, progress }: Hand,
): Promise<Answer> {
  const { mysql, upstream, settings, pause: waits } = deps;
  const publish = async (claimed: Lease) => {
    const { pageRowsMax } = await settings();
    const begun = await runFor(deps, all, claimed, input);
    const ids = mergeIdSources(...all.places(upstream, mysql));
    const ground = { source: all.source, ids, pageRowsMax };
    const { outcome, fullRun: walk } = await continueRun(deps, claimed, begun, ground, {
      remaining,
      progress: ({ published, total, at_id }) => progress(published, total, `up to ${at_id}`),
    });
    const { run, at_id: after, published, total } = walk;
    const resume = outcome === 'out of time' ? { resume: { run, after } } : {};
    return { outcome, run, published, total, ...resume };
  };
  return await withExclusiveRun(mysql, all.name, publish, { waits });
}

/** The run that the input means: that of its number, the last one where it has not ended, or a new one. */
async function runFor(
  { mysql, upstream }: PublishAllDeps,
  { name, table }: FullProducer,
  claimed: Lease,
  { run, anew, by: who, why }: PublishAll,
): Promise<FullRun> {
  const last = await lastFullRun(mysql, name);
  if (run !== undefined && run !== last?.run)
    throw new Error(
      `Run ${run} of ${name} was followed by run ${last?.run}: nothing is left of it.`,
    );
  if (last && (run !== undefined || (!last.ended && !anew))) return last;
  const { rows } = await sql<{ total: string; day: string }>`
    select count(*) total, curdate() day from ${sql.table(table)}`.execute(upstream);
  const [{ total, day } = { total: '0', day: '' }] = rows;
  return await startFullRun(mysql, claimed, { day, total: Number(total) }, async (trx, begun) => {
    const detail = { run: begun.run, total: begun.total };
    await audit(trx as never, { who, what: name, why: why ?? null, detail });
  });
}
