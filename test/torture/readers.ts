/** Readers of the site while the consumer is killed: nothing they are shown is older than is promised. */
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { flags, sources } from '../../lib/broker/queues.ts';
import type { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { getBroker } from '../../local/publish.ts';
import { clientOptions, type Stack } from '../../local/stack.ts';

const profiles = 200;
const pollers = 4;
const idsPerMessage = 100;
/** After the change was applied, while the cache answers. */
export const staleMsMax = 10_000;

export interface Read {
  readonly reads: number;
  readonly versions: number;
  /** By how much the oldest value outlived the one that followed it. */
  readonly worstMs: number;
}

/**
 * Two hundred of the profiles (no id that ends in 0: those are deleted) are renamed again and again, each time named in
 * messages to the same queue, and read all the time, until `goesOn` says no and the promise for the last has run out.
 */
export async function readAllTheTime(
  stack: Stack,
  admin: Awaited<ReturnType<typeof connect>>,
  goesOn: () => boolean,
): Promise<Read> {
  const ids = Array.from({ length: 2 * profiles }, (_, index) => index + 1)
    .filter((id) => id % 10)
    .slice(0, profiles);
  /** When each version was seen to be applied to all: from then on the one before must go. */
  const appliedAtMs: number[] = [0];
  let over = false;
  let [reads, worstMs] = [0, 0];
  const poll = async (_: unknown, offset: number) => {
    for (let turn = offset * (profiles / pollers); !over; turn++) {
      const askedAtMs = Date.now();
      const { status, body } = await getBroker(stack, ids[turn % profiles] ?? 1);
      const { true_name = '' } = status === 200 ? (body as { true_name: string }) : {};
      const version = /^\d+$/.test(true_name) ? Number(true_name) : 0;
      const followedAtMs = appliedAtMs[version + 1];
      if (followedAtMs !== undefined) worstMs = Math.max(worstMs, askedAtMs - followedAtMs);
      reads += 1;
    }
  };
  const polling = Promise.all(Array.from({ length: pollers }, poll));
  do {
    const version = appliedAtMs.length;
    await rename(stack, admin, ids, version);
    await until(`version ${version} is applied`, () => isApplied(admin, ids, version), {
      ...{ timeoutMs: 240_000, pollMs: 100 },
    });
    appliedAtMs.push(Date.now());
  } while (goesOn());
  const end = Date.now() + staleMsMax + 2_000;
  await until('the promise has run out', () => Date.now() > end);
  over = true;
  await polling;
  return { reads, versions: appliedAtMs.length - 1, worstMs };
}

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

async function isApplied(
  admin: Awaited<ReturnType<typeof connect>>,
  ids: readonly number[],
  version: number,
): Promise<boolean> {
  const [[row]] = await admin.query<RowDataPacket[]>(
    `select count(*) count from user_prop_db.broker_base
     where broker_id in (?) and true_name = ? and is_deleted = 0`,
    [ids, String(version)],
  );
  return Number(row?.['count']) === ids.length;
}
