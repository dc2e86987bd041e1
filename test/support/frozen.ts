/**
 * A process that handles one message as an environment of Lambda does, to be frozen in the middle of its transaction.
 * It writes a line when it holds the row, and one with what its handler answered.
 */
import * as z from 'zod';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { contextOf, sqsEvent } from './lambda.ts';

const holders = queue('test/hold-row', z.object({ name: z.string() }));
const db = mysql<PlatformTables>('mysql');
const [, , name = '', timeoutMs = ''] = process.argv;

const handler = consume(
  holders,
  async (message) =>
    await db.transaction().execute(async (trx) => {
      const row = trx.updateTable('signalbox.claim').where('name', '=', message.name);
      await row.set({ epoch: '2' }).execute();
      console.error('holds');
      await new Promise(() => setInterval(() => {}, 1_000)); // Something that does not answer.
      return 'held' as const;
    }),
  { mysql: db },
);

const { batchItemFailures } = await handler(sqsEvent({ name }), contextOf(Number(timeoutMs)));
console.error(`failed ${batchItemFailures.length}`);
process.exit();
