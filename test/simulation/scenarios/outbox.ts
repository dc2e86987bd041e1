import type { Kysely } from 'kysely';
import * as z from 'zod';
import { respond } from '../../../lib/platform/http/respond.ts';
import { route } from '../../../lib/platform/http/route.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import {
  type Deliver,
  deliverBy,
  type OutboxEntry,
  queueChannel as queuesOf,
  toQueue,
  transactionWithOutbox,
} from '../../../lib/platform/messaging/outbox.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { upstream } from '../../../local/secrets.ts';
import { httpEvent, signed } from '../../support/http.ts';
import { contextOf } from '../../support/lambda.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Consumer, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { deliverer } from './deliverer.ts';

const Note = z.object({ id: z.int() });
const steps = queue('simulation/take-step', Note);
const followers = queue('simulation/follow', Note);

interface Tables extends PlatformTables {
  'signalbox.simulated_step': { id: number; followed: number };
}

const swarmSteps = 8;
const swarmSeconds = 300;
/** A minute, after which the next run of deliver-due takes over from one that crashed. */
const followMsMax = 61_000;
/** When faults end, a crashed run may just have leased a row, which hides it for 30 s. */
const followAfterSwarmMsMax = 125_000;

/** SQS refuses this character. The row belongs to the first commit, whose other message must be sent all the same. */
const unsendable: OutboxEntry = { destination: `queue:${followers.id}`, body: '"\uffff"' };

/** A consumer writes a row, whose message must follow the commit; the consumer of that message marks the row. */
export const outbox: Scenario = stepsTaken('outbox', (stage) => ({ consumers: [taker(stage)] }));

/** The same for an HTTP request, which nothing redelivers: a client without an answer sends it again. */
export const http: Scenario = stepsTaken('http', (stage) => ({ schedules: clients(stage) }));

function stepsTaken(
  name: string,
  takers: (stage: Stage) => {
    readonly consumers?: readonly Consumer[];
    readonly schedules?: readonly Scheduled[];
  },
): Scenario {
  return {
    name,
    prepare: `create table if not exists signalbox.simulated_step
    (id int primary key, followed int not null)`,
    tables: [
      ...['signalbox.outbox', 'signalbox.claim', 'signalbox.simulated_step'],
      ...['signalbox.nonce', 'signalbox.call_rate'],
    ],
    begin: (stage) => {
      const { databases, world, faults, queues } = stage;
      const [asked, followed] = [queues.open(steps), queues.open(followers)];
      const committedAtMs = new Map<number, number>();
      const rows = async () => {
        const [found] = await databases.admin.query('select * from signalbox.simulated_step');
        return found as { id: number; followed: number }[];
      };
      const { consumers = [], schedules = [] } = takers(stage);
      return {
        consumers: [...consumers, marker(stage)],
        schedules: [{ ...deliverer(stage, { timeoutSeconds: 56 }), firstSeconds: 0 }, ...schedules],
        script: consumers.length
          ? scriptOf(stage, (id) => queues.put(asked, JSON.stringify({ id })))
          : [],
        safety: async (injected) => {
          for (const { id } of await rows())
            if (!committedAtMs.has(id)) committedAtMs.set(id, world.nowMs);
          const max = faults.exact ? followMsMax * Math.max(1, injected) : followAfterSwarmMsMax;
          for (const [id, atMs] of committedAtMs) {
            const sinceMs = world.nowMs - Math.max(atMs, faults.untilMs);
            if (sinceMs > max && !followed.sent.some(({ body }) => JSON.parse(body).id === id))
              return `Nothing has followed the commit of ${id} for ${sinceMs} ms.`;
          }
          const [dead] = [...queues.dead(steps).sent, ...queues.dead(followers).sent];
          return dead && `Dead-lettered: ${dead.body} because ${dead.reason}`;
        },
        unsettled: async () => {
          const marked = new Map((await rows()).map((row) => [row.id, row.followed]));
          const missing = stepIds(stage).find((id) => !marked.get(id));
          if (missing !== undefined) return `Nothing followed ${missing}.`;
          const [rest] = await databases.admin.query(
            'select body, attempts, reason from signalbox.outbox order by id',
          );
          const left = rest as { body: string; attempts: number; reason: string | null }[];
          const [kept, ...others] = left;
          if (!kept || others.length || kept.body !== unsendable.body)
            return `The outbox holds ${JSON.stringify(left)}`;
          return kept.attempts && kept.reason?.includes('U+FFFF')
            ? undefined
            : `The unsendable row has no attempts or reason: ${JSON.stringify(kept)}`;
        },
      };
    },
  };
}

function taker({ databases, world }: Stage): Consumer {
  return {
    queue: steps,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<Tables>(databases, world, worker);
      const deps = { mysql, deliver: deliverBy(queuesOf(followers)) };
      return consume(steps, ({ id }) => takeStep(deps, id));
    },
  };
}

interface Deps {
  readonly mysql: Kysely<Tables>;
  readonly deliver: Deliver;
}

async function takeStep(deps: Deps, id: number) {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const { numInsertedOrUpdatedRows = 0n } = await trx
      .insertInto('signalbox.simulated_step')
      .ignore()
      .values({ id, followed: 0 })
      .executeTakeFirst();
    if (!numInsertedOrUpdatedRows) return 'already-done';
    follow(toQueue(followers, { id }));
    if (id === 0) follow(unsendable);
    return 'accepted';
  });
}

const askForStep = route({
  id: 'simulation/ask-for-step',
  method: 'POST',
  path: '/steps',
  summary: 'Takes a step.',
  who: 'signed',
  body: Note,
  answers: { 202: Note },
});
const askAgainSeconds = 20;

/** Upstream systems, one for each step: each sends its request with a new nonce until it is answered. */
function clients(stage: Stage): Scheduled[] {
  const { databases, world, faults } = stage;
  return stepIds(stage).map((id) => {
    let answered = false;
    return {
      name: `client-${id}`,
      everySeconds: askAgainSeconds,
      firstSeconds: faults.exact ? 0 : faults.random.between(0, swarmSeconds),
      timeoutSeconds: 10,
      run: async (worker) => {
        if (answered) return;
        const mysql = mysqlOf<Tables>(databases, world, worker);
        const deps = { mysql, deliver: deliverBy(queuesOf(followers)) };
        const keys = async () => ({ [upstream.key]: [upstream.secret] });
        const handler = respond(
          askForStep,
          async ({ body }) => ({ status: 202, outcome: await takeStep(deps, body.id), body }),
          { mysql: mysql as never, keys },
        );
        const event = signed(httpEvent({ method: 'POST', path: '/steps', body: { id } }));
        const { statusCode } = await handler(event, contextOf());
        answered = statusCode === 202;
      },
    };
  });
}

function marker({ databases, world }: Stage): Consumer {
  return {
    queue: followers,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<Tables>(databases, world, worker);
      return consume(followers, async ({ id }) => {
        // A plain read takes no locks, so a message that is sent before its commit finds no row.
        const step = await mysql
          .selectFrom('signalbox.simulated_step')
          .select('id')
          .where('id', '=', id)
          .executeTakeFirst();
        if (!step) return 'not-found';
        await mysql
          .updateTable('signalbox.simulated_step')
          .set({ followed: 1 })
          .where('id', '=', id)
          .execute();
        return 'applied';
      });
    },
  };
}

const stepIds = ({ faults: { exact } }: Stage): number[] =>
  Array.from({ length: exact ? 2 : swarmSteps }, (_, id) => id);

function scriptOf(stage: Stage, ask: (id: number) => void): Act[] {
  const { exact, random } = stage.faults;
  return stepIds(stage).map((id) => ({
    atSeconds: exact ? 0 : random.between(0, swarmSeconds),
    act: () => ask(id),
  }));
}
