/** Readers of the site while the consumer is killed: nothing they are shown is older than is promised. */
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { flags, sources } from '../../lib/broker/queues.ts';
import { clientOptions } from '../../local/emulator.ts';
import type { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { getBroker } from '../../local/publish.ts';
import type { Stack } from '../../local/stack.ts';

const profiles = 200;
const pollers = 4;
const idsPerMessage = 100;
/** After the change was applied, while the cache answers. */
export const staleMsMax = 10_000;

export interface Read {
  readonly reads: number;
  /** Values that were seen to follow one another in our table. */
  readonly changes: number;
  /** By how much the oldest value that was shown outlived the one that followed it. */
  readonly worstMs: number;
}

/**
 * Two hundred of the profiles (no id that ends in 0: those are deleted) are renamed every few seconds, each time named
 * in messages to the same queue, and read all the time, until `goesOn` says no and the promise for the last has run out.
 */
export async function readAllTheTime(
  stack: Stack,
  admin: Awaited<ReturnType<typeof connect>>,
  goesOn: () => boolean,
): Promise<Read> {
  const ids = Array.from({ length: 2 * profiles }, (_, index) => index + 1)
    .filter((id) => id % 10)
    .slice(0, profiles);
  /** Of each id the versions in our table, and since when each is there. */
  const applied = new Map(ids.map((id) => [id, [{ version: 0, atMs: 0 }]]));
  let over = false;
  let [reads, changes, worstMs, version] = [0, 0, 0, 0];
  const poll = async (_: unknown, offset: number) => {
    for (let turn = offset * (profiles / pollers); !over; turn++) {
      const id = ids[turn % profiles] ?? 1;
      const askedAtMs = Date.now();
      const { status, body } = await getBroker(stack, id);
      const shown = status === 200 ? versionOf((body as { true_name: string }).true_name) : 0;
      const followed = applied.get(id)?.find((one) => one.version > shown);
      if (followed) worstMs = Math.max(worstMs, askedAtMs - followed.atMs);
      reads += 1;
    }
  };
  /** Whether the last version is applied to all. */
  const look = async (): Promise<boolean> => {
    const [rows] = await admin.query<RowDataPacket[]>(
      'select broker_id, true_name from user_prop_db.broker_base where broker_id in (?)',
      [ids],
    );
    for (const { broker_id, true_name } of rows) {
      const known = applied.get(Number(broker_id)) ?? [];
      const now = versionOf(true_name);
      if (now <= (known.at(-1)?.version ?? 0)) continue;
      known.push({ version: now, atMs: Date.now() });
      changes += 1;
    }
    return [...applied.values()].every((known) => known.at(-1)?.version === version);
  };
  const polling = Promise.all(Array.from({ length: pollers }, poll));
  while (goesOn()) {
    version += 1;
    await rename(stack, admin, ids, version);
    const end = Date.now() + renameEveryMs;
    await until('it is time for the next', async () => (await look()) || Date.now() > end, often);
  }
  await until('the last version is applied', look, often);
  const end = Date.now() + staleMsMax + 2_000;
  await until('the promise has run out', () => Date.now() > end);
  over = true;
  await polling;
  return { reads, changes, worstMs };
}

const renameEveryMs = 5_000;
const often = { timeoutMs: 240_000, pollMs: 100 };
const versionOf = (name: unknown): number => (/^\d+$/.test(String(name)) ? Number(name) : 0);

async function rename(
  { emulator, endpoints }: Stack,
  admin: Awaited<ReturnType<typeof connect>>,
  ids: readonly number[],
  version: number,
): Promise<void> {
  await admin.query('update anjuke_db.ajk_broker set TrueName = ? where BrokerId in (?)', [
    String(version),
    ids,
  ]);
  const Entries = Array.from({ length: ids.length / idsPerMessage }, (_, index) => {
    const broker_ids = ids.slice(index * idsPerMessage, (index + 1) * idsPerMessage).join(',');
    const body = { broker_ids, flag: flags.updated, source: sources.base };
    return { Id: `${index}`, MessageBody: JSON.stringify(body) };
  });
  const QueueUrl = endpoints.queues['broker/apply-event'];
  const client = new SQSClient(clientOptions(emulator));
  await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
}
