/**
 * A process that handles one message like an execution environment of Lambda, so that a test can freeze it in the middle
 * of its transaction. It prints a line when it holds the row's lock, and one with the handler's result.
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
      await new Promise(() => setInterval(() => {}, 1_000)); // Waits for an answer that never comes.
      return 'applied' as const;
    }),
  { mysql: db },
);

const { batchItemFailures } = await handler(sqsEvent({ name }), contextOf(Number(timeoutMs)));
console.error(`failed ${batchItemFailures.length}`);
process.exit();
