import {
  acquireLease,
  assertLeaseHeld,
  type Lease,
  LeaseLost,
} from '../../../lib/platform/mysql/lease.ts';
import { inTransaction } from '../../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { mysqlOf } from '../database.ts';
import type { Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { startMs } from '../world.ts';

interface Tables extends PlatformTables {
  'signalbox.simulated_work': { id?: number; epoch: string };
}

const leaseSeconds = 3;
const pauseSecondsMax = 8;
const writesEach = 4;
const activeSeconds = 100;

/** `count` schedules compete for one lease and pause for longer than it lasts: no write after a lost lease succeeds. */
export function claimsOf(count: number): Scenario {
  return {
    name: `claims-${count}`,
    prepare: `create table if not exists signalbox.simulated_work
      (id int primary key auto_increment, epoch bigint unsigned not null)`,
    tables: ['signalbox.claim', 'signalbox.simulated_work'],
    begin: (stage) => {
      const { databases, world } = stage;
      const isOver = () => world.nowMs > startMs + activeSeconds * 1000 && highest > 0;
      const seen = new Set<number>();
      let highest = 0;
      return {
        consumers: [],
        schedules: Array.from({ length: count }, (_, index) => contender(stage, index, isOver)),
        script: [{ atSeconds: activeSeconds, act: () => {} }],
        safety: async () => {
          const [rows] = await databases.admin.query('select * from signalbox.simulated_work');
          for (const { id, epoch } of rows as { id: number; epoch: string }[]) {
            if (seen.has(id)) continue;
            if (Number(epoch) < highest)
              return `A write with the fencing token ${epoch} was committed after one with ${highest}.`;
            seen.add(id);
            highest = Number(epoch);
          }
          return undefined;
        },
        unsettled: async () => (isOver() ? undefined : 'Nothing has been written yet.'),
      };
    },
  };
}

function contender(
  { databases, world, faults: { exact, random } }: Stage,
  index: number,
  isOver: () => boolean,
): Scheduled {
  const pause = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));
  /** At the end no schedule pauses: if many always did, none would ever write. */
  const isLate = () => world.nowMs > startMs + activeSeconds * 1000;
  return {
    name: `contend-${index}`,
    everySeconds: 20,
    firstSeconds: index % 20,
    timeoutSeconds: 120,
    run: async (worker) => {
      if (isOver()) return 'the run is over';
      const mysql = mysqlOf<Tables>(databases, world, worker);
      const lease = await acquireLease(mysql as never, 'simulation/work', leaseSeconds);
      if (!lease) return 'lease-not-acquired';
      for (let turn = 0; turn < writesEach; turn++) {
        if (!isLate()) await pause(exact ? leaseSeconds * 2 : random.between(0, pauseSecondsMax));
        if (!(await write(mysql, lease))) return 'fenced-off';
      }
      await lease.release();
      return 'done';
    },
  };
}

/** Writes a row under the lease. Returns false if the lease was lost. */
async function write(mysql: ReturnType<typeof mysqlOf<Tables>>, lease: Lease): Promise<boolean> {
  try {
    await inTransaction(mysql, async (trx) => {
      await assertLeaseHeld(trx as never, lease);
      await trx
        .insertInto('signalbox.simulated_work')
        .values({ epoch: lease.fencingToken })
        .execute();
    });
    return true;
  } catch (error) {
    if (error instanceof LeaseLost) return false;
    throw error;
  }
}
