import { type Kysely, sql } from 'kysely';
import * as z from 'zod';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import { inTransaction } from '../../../lib/platform/mysql/mysql.ts';
import type { OutcomeWord } from '../../../lib/platform/outcomes.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Consumer, Scenario, Stage } from '../run-scenario.ts';
import { startMs } from '../world.ts';

const steps = queue('simulation/survive', z.object({ id: z.int(), total: z.int() }));

interface Tables extends PlatformTables {
  'signalbox.simulated_mark': { id: number };
  'signalbox.simulated_total': { id: number; marks: number };
}

const minuteMs = 60_000;
const daySeconds = 86_400;
/** The longest pause of a postponed message, and the time before and after it. */
const recoveryMsMax = 25 * minuteMs;
/** The longest that others wait for a silent connection or frozen process: until the server ends its session. */
const silenceMsMax = 3 * minuteMs;
const outageFromSeconds = 60;
const totals = 2;

/** Consumes messages: marks each, and counts it in a row that all transactions lock. */
const base = {
  prepare: `create table if not exists signalbox.simulated_mark (id int primary key);
    create table if not exists signalbox.simulated_total (id int primary key, marks int not null)`,
  tables: ['signalbox.outbox', 'signalbox.simulated_mark', 'signalbox.simulated_total'],
};

function consumer({ databases, world }: Stage, failing: (id: number) => boolean): Consumer {
  return {
    queue: steps,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<Tables>(databases, world, worker);
      const handle = async ({ id, total }: z.infer<typeof steps.schema>) => {
        const outcome = await mark(mysql, id, total);
        if (failing(id)) throw new Error(`Message ${id} fails once.`);
        return outcome;
      };
      return consume(steps, handle, { mysql: mysql as never });
    },
  };
}

async function mark(mysql: Kysely<Tables>, id: number, total: number): Promise<OutcomeWord> {
  return await inTransaction(mysql, async (trx) => {
    const { numInsertedOrUpdatedRows = 0n } = await trx
      .insertInto('signalbox.simulated_mark')
      .ignore()
      .values({ id })
      .executeTakeFirst();
    if (!numInsertedOrUpdatedRows) return 'already-done';
    await trx
      .updateTable('signalbox.simulated_total')
      .set({ marks: sql<number>`marks + 1` })
      .where('id', '=', total)
      .execute();
    return 'applied';
  });
}

async function begin(stage: Stage) {
  const { databases, queues } = stage;
  const { admin } = databases;
  const asked = queues.open(steps);
  for (let id = 0; id < totals; id++)
    await admin.query('insert into signalbox.simulated_total values (?, 0)', [id]);
  const marks = async () => {
    const [rows] = await admin.query('select id from signalbox.simulated_mark');
    return new Set((rows as { id: number }[]).map(({ id }) => id));
  };
  return {
    asked,
    marks,
    sent: (id: number, atSeconds: number): Act => ({
      atSeconds,
      act: () => queues.put(asked, JSON.stringify({ id, total: id % totals })),
    }),
    miscounted: async (): Promise<string | undefined> => {
      const [[{ sum = '' } = {}]] = (await admin.query(
        'select sum(marks) sum from signalbox.simulated_total',
      )) as unknown as [{ sum?: string }[]];
      const marked = (await marks()).size;
      return Number(sum) === marked ? undefined : `${marked} are marked, ${sum} are counted.`;
    },
    dead: () => queues.dead(steps).sent,
  };
}

/** Silent connections and frozen processes block others, at most as long as a session may be idle. */
export const silence: Scenario = {
  ...base,
  name: 'silence',
  begin: async (stage) => {
    const { faults } = stage;
    const count = faults.exact ? 4 : 10;
    const { sent, marks, miscounted, dead } = await begin(stage);
    const script = Array.from({ length: count }, (_, id) =>
      sent(id, faults.exact ? id : faults.random.between(0, 600)),
    );
    const lastMs = startMs + (script.at(-1)?.atSeconds ?? 0) * 1000;
    return {
      consumers: [consumer(stage, () => false)],
      schedules: [],
      script,
      settleByMs: faults.exact ? lastMs + silenceMsMax : faults.untilMs + recoveryMsMax,
      safety: async () => {
        const [letter] = dead();
        if (letter) return `Dead-lettered: ${letter.body} because ${letter.reason}`;
        return await miscounted();
      },
      unsettled: async () => {
        const done = await marks();
        const missing = script.findIndex((_, id) => !done.has(id));
        return missing < 0 ? undefined : `Message ${missing} is not marked.`;
      },
    };
  },
};

/**
 * Our database is unavailable for days, while messages come: all wait, and none longer than the longest pause once it is
 * over, whatever their number of deliveries. What has waited for twelve days is dead-lettered with its reason.
 */
export const outageOf = (days: number): Scenario => ({
  ...base,
  name: `outage-${days}-days`,
  begin: async (stage) => {
    const { world, faults } = stage;
    const { sent, marks, miscounted, dead } = await begin(stage);
    const failedOnce = new Set<number>();
    const overMs = startMs + (outageFromSeconds + days * daySeconds) * 1000;
    const latest = Math.min(days, 3) * daySeconds;
    const times = faults.exact
      ? [0, outageFromSeconds, outageFromSeconds + 3_600, latest - 60]
      : Array.from({ length: 6 }, () => faults.random.between(0, latest));
    const outage = () => void world.awayUntilMs.set('signalbox', overMs);
    return {
      consumers: [
        consumer(stage, (id) => {
          if (world.nowMs < overMs || failedOnce.has(id)) return false;
          failedOnce.add(id);
          return true;
        }),
      ],
      schedules: [],
      script: [
        ...times.map((atSeconds, id) => sent(id, atSeconds)),
        { atSeconds: outageFromSeconds, act: outage },
      ],
      settleByMs: overMs + recoveryMsMax,
      safety: async () => {
        const wrong = dead().find(
          ({ reason, sentAtMs }) =>
            days <= 12 ||
            !reason?.startsWith('After 12 days: ') ||
            sentAtMs < startMs + 12 * daySeconds * 1000,
        );
        return wrong ? `Set aside: ${wrong.body} because ${wrong.reason}` : await miscounted();
      },
      unsettled: async () => {
        const done = await marks();
        for (const { body } of dead()) done.add(JSON.parse(body).id);
        const missing = times.findIndex((_, id) => !done.has(id));
        if (missing >= 0) return `Message ${missing} still waits.`;
        return world.nowMs < overMs && days <= 12 ? 'The outage lasts.' : undefined;
      },
    };
  },
});
