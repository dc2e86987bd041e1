import { createHash } from 'node:crypto';
import { pushFor } from '../../lib/order/pushes/new-push.ts';
import { scenarioByNumber } from '../../lib/order/pushes/scenarios.ts';
import { run } from './databases.ts';
import { workerServers } from './started.ts';

export const pushIdOf = (text: string): string => createHash('sha256').update(text).digest('hex');

interface Written {
  readonly scenario: number;
  readonly order?: number;
  readonly patient?: number;
  readonly nurse?: number | null;
  /** How long ago the order changed, by this process's clock, which is that of the database. */
  readonly ageSeconds?: number;
  /** What the order was seen to be afterwards, where that is not what it became. */
  readonly seen?: string;
}

let written = 0;

/** Writes what the reader of the binlog writes of a change, and returns the push's id. */
export async function writePush(given: Written): Promise<string> {
  const { scenario, order = 7001, patient = 98, nurse = 55, ageSeconds = 1, seen } = given;
  const [change] = scenarioByNumber(scenario).changes;
  if (!change) throw new Error(`Scenario ${scenario} has no change.`);
  const pushId = pushIdOf(`${process.pid} ${written++}`);
  const row = pushFor({
    pushId,
    order_id: String(order),
    patient_id: String(patient),
    nurse_id: nurse === null ? null : String(nurse),
    before: change.before[0] ?? '',
    after: change.after[0] ?? '',
    by: change.by[0] ?? '',
    changedAt: new Date(Date.now() - ageSeconds * 1000),
  });
  if (row === 'no scenario') throw new Error(`Scenario ${scenario} is not found.`);
  await run('insert into push_db.push set ?', [row]);
  await run('replace into push_db.order_seen (order_id, status) values (?, ?)', [
    ...[order, seen ?? row.status_after],
  ]);
  return pushId;
}

/** What the simulator of the push service, this worker's own, shows and does. */
const { singer } = (await workerServers()).simulators;

interface Shown {
  readonly push_id: string;
  readonly [field: string]: unknown;
}

export async function shown(): Promise<Shown[]> {
  const response = await fetch(`${singer}/__state`);
  return ((await response.json()) as { pushes: Shown[] }).pushes;
}

export async function controlSinger(path: string, body: unknown = {}): Promise<void> {
  const response = await fetch(singer + path, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path} answered ${response.status}.`);
}
