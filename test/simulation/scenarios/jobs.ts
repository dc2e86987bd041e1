import { type Kysely, sql } from 'kysely';
import * as z from 'zod';
import { PartnerUnavailable, Postponed } from '../../../lib/platform/errors.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import { inTransaction } from '../../../lib/platform/mysql/mysql.ts';
import type { OutcomeWord } from '../../../lib/platform/outcomes.ts';
import { type Partner, partner, postponed } from '../../../lib/platform/partners/partner.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { dateOf } from '../../../lib/platform/time.ts';
import { mysqlOf } from '../database.ts';
import type { Scenario } from '../run-scenario.ts';
import { exchangeWith } from '../world.ts';
import { deliverer } from './deliverer.ts';

const jobs = queue('simulation/do-job', z.object({ id: z.int() }));

interface Tables extends PlatformTables {
  'signalbox.simulated_job': {
    id: number;
    state: 'new' | 'in hand' | 'done';
    epoch: number;
    until: string | null;
    answer: number | null;
  };
}

const leaseSeconds = 20;
const baseUrl = 'https://partner.simulated';
const timeoutMs = 1_000;
const retry = { attemptsMax: 2, delayMs: 100 };
const swarmJobs = 6;
const swarmSeconds = 300;

/**
 * A job is leased, its partner is called without a lock, and the answer is stored. The partner gives another answer to
 * each call, so that the stored one shows which worker wrote it.
 */
export const jobsDone: Scenario = {
  name: 'jobs',
  prepare: `create table if not exists signalbox.simulated_job
    (id int primary key, state varchar(10) not null, epoch int not null, until datetime null, answer int null)`,
  tables: ['signalbox.outbox', 'signalbox.claim', 'signalbox.simulated_job'],
  begin: (stage) => {
    const { databases, world, faults, queues } = stage;
    const { random, exact } = faults;
    const asked = queues.open(jobs);
    const answers = new Map<string, number>();
    const written = new Map<number, number>();
    const rows = async () => {
      const [found] = await databases.admin.query('select * from signalbox.simulated_job');
      return found as Tables['signalbox.simulated_job'][];
    };
    const exchange = exchangeWith(async ({ url: { pathname } }) => {
      answers.set(pathname, answers.size + 1);
      return { status: 200, body: Buffer.from(`{"answer":${answers.size}}`) };
    });
    return {
      consumers: [
        {
          queue: jobs,
          timeoutSeconds: 10,
          handlerOf: (worker) => {
            const mysql = mysqlOf<Tables>(databases, world, worker);
            const ask = partner({ name: 'the partner', baseUrl, timeoutMs, retry }, exchange);
            return consume(
              jobs,
              ({ id }) => doJob({ mysql, ask, now: () => new Date(world.nowMs) }, id),
              { mysql: mysql as never },
            );
          },
        },
      ],
      schedules: [deliverer(stage)],
      script: Array.from({ length: exact ? 1 : swarmJobs }, (_, id) => ({
        atSeconds: exact ? 0 : random.between(0, swarmSeconds),
        act: async () => {
          await databases.admin.query(
            "insert into signalbox.simulated_job values (?, 'new', 0, null, null)",
            [id],
          );
          queues.put(asked, JSON.stringify({ id }));
        },
      })),
      safety: async () => {
        for (const { id, state, epoch, answer } of await rows()) {
          if (state !== 'done') continue;
          const before = written.get(id) ?? answer;
          if (answer === null || answer !== answers.get(`/${id}/${epoch}`) || before !== answer)
            return `Job ${id} has answer ${answer} with the fencing token ${epoch}; before: ${before}.`;
          written.set(id, answer);
        }
        const [dead] = queues.dead(jobs).sent;
        return dead && `Dead-lettered: ${dead.body} because ${dead.reason}`;
      },
      unsettled: async () => {
        const open = (await rows()).find(({ state }) => state !== 'done');
        return open && `Job ${open.id} is ${open.state}.`;
      },
    };
  },
};

const Answer = z.object({ answer: z.int() });

interface Deps {
  readonly mysql: Kysely<Tables>;
  readonly ask: Partner;
  readonly now: () => Date;
}

async function doJob({ mysql, ask, now }: Deps, id: number): Promise<OutcomeWord> {
  const fencingToken = await inTransaction(mysql, async (trx) => {
    const job = await trx
      .selectFrom('signalbox.simulated_job')
      .selectAll()
      .select(sql<number | string>`until > now()`.as('busy'))
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirstOrThrow();
    if (job.state === 'done') return undefined;
    if (job.until && Number(job.busy)) throw new Postponed(dateOf(job.until), 'in hand');
    await trx
      .updateTable('signalbox.simulated_job')
      .set({
        state: 'in hand',
        epoch: job.epoch + 1,
        until: sql<string>`now() + interval ${leaseSeconds} second`,
      })
      .where('id', '=', id)
      .execute();
    return job.epoch + 1;
  });
  if (fencingToken === undefined) return 'already-done';
  const path = `/${id}/${fencingToken}`;
  const { answer } = await ask({ method: 'POST', path, answer: Answer }).catch((error) => {
    throw error instanceof PartnerUnavailable ? postponed(error, fencingToken, now()) : error;
  });
  const { numUpdatedRows } = await mysql
    .updateTable('signalbox.simulated_job')
    .set({ state: 'done', answer })
    .where('id', '=', id)
    .where('epoch', '=', fencingToken)
    .where('state', '=', 'in hand')
    .executeTakeFirst();
  return numUpdatedRows ? 'settled' : 'fenced-off';
}
