/** Publishes all brokers, companies or stores once, when a person starts it. */
import { type Kysely, sql } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
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
  /** The name of the function, its kill switch, its lease and its row. */
  readonly name: string;
  readonly source: Source;
  readonly table: keyof UpstreamTables;
  readonly idSources: (
    upstream: Kysely<UpstreamTables>,
    ours: Kysely<ProfileTables>,
  ) => readonly IdSource[];
}

const bases: FullProducer = {
  name: 'broker/publish-all-bases',
  source: sources.base,
  table: 'anjuke_db.ajk_broker',
  idSources: everyBase,
};
const companies: FullProducer = {
  name: 'broker/publish-all-companies',
  source: sources.company,
  table: 'anjuke_db.ajk_company',
  idSources: everyCompany,
};
const stores: FullProducer = {
  name: 'broker/publish-all-stores',
  source: sources.store,
  table: 'anjuke_db.ajk_store',
  idSources: everyStore,
};

type PublishOutcome = Exclude<Outcome, string>;
type Publish = (deps: PublishAllDeps, input: PublishAll, hand: Hand) => Promise<PublishOutcome>;

/** Each publishes every id once: all ids upstream, and those that the site still shows although they are gone there. */
export const publishAllBases: Publish = (...args) => publishAll(bases, ...args);
export const publishAllCompanies: Publish = (...args) => publishAll(companies, ...args);
export const publishAllStores: Publish = (...args) => publishAll(stores, ...args);

/** A run that crashed is resumed by the next call, from the last page that it committed. */
async function publishAll(
  producer: FullProducer,
  deps: PublishAllDeps,
  input: PublishAll,
  { remaining, progress }: Hand,
): Promise<PublishOutcome> {
  const { mysql, upstream, settings, pause } = deps;
  const publish = async (lease: Lease) => {
    const { pageRowsMax } = await settings();
    const initial = await resumeOrStart(deps, producer, lease, input);
    const ids = mergeIdSources(...producer.idSources(upstream, mysql));
    const runSource = { source: producer.source, ids, pageRowsMax };
    const { outcome, fullRun } = await continueRun(deps, lease, initial, runSource, {
      remaining,
      progress: ({ published, total, at_id }) => progress(published, total, `up to ${at_id}`),
    });
    const { run, at_id: after, published, total } = fullRun;
    const resume = outcome === 'out-of-time' ? { resume: { run, after } } : {};
    return { outcome, run, published, total, ...resume };
  };
  return await withExclusiveRun(mysql, producer.name, publish, { pause });
}

/** Returns the run that the input asks for: the one with its number, the last one if it is unfinished, or a new one. */
async function resumeOrStart(
  { mysql, upstream }: PublishAllDeps,
  { name, table }: FullProducer,
  lease: Lease,
  { run, anew, by: who, why }: PublishAll,
): Promise<FullRun> {
  const last = await lastFullRun(mysql, name);
  if (run !== undefined && run !== last?.run)
    throw new Error(
      `Run ${run} of ${name} cannot be resumed; the last run, ${last?.run ?? 'none'}, can.`,
    );
  if (last && (run !== undefined || (!last.ended && !anew))) return last;
  const { rows } = await sql<{ total: string; day: string }>`
    select count(*) total, curdate() day from ${sql.table(table)}`.execute(upstream);
  const [{ total, day } = { total: '0', day: '' }] = rows;
  return await startFullRun(mysql, lease, { day, total: Number(total) }, async (trx, started) => {
    const detail = { run: started.run, total: started.total };
    await audit(trx, { who, what: name, why: why ?? null, detail });
  });
}
