/** What only a real binlog shows: a transaction of a million order rows, read in little memory, run by run. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as z from 'zod';
import { connect } from '../../local/mysql.ts';
import type { Figures } from '../support/tally.ts';

type Server = { readonly host: string; readonly port: number };

const megabytesMax = 150;
const runMs = 60_000;
/** V8's limits as Lambda sets them for 512 MB (infra/constructs/functions.ts): 90 % old space, 5 % young. */
const v8Limits = ['--max-old-space-size=460', '--max-semi-space-size=25'];
const runsMax = 40;

const Done = z.object({ changes: z.int(), pushes: z.int(), megabytes: z.number() });

/** Each run gets on, none takes more than 150 MB, and each change is pushed once. */
export async function largeTransaction(server: Server, rows = 1_000_000): Promise<Figures> {
  const admin = await connect(server);
  const began = Date.now();
  try {
    await admin.query(`truncate push_db.push; truncate push_db.binlog_checkpoint; truncate order_db.\`order\`;
      truncate signalbox.claim; set session cte_max_recursion_depth = ${rows + 1};
      insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
        with recursive n as (select 1 id union all select id + 1 from n where id < ${rows})
        select id, id, 'PENDING_ACCEPT', 'patient' from n`);
    read(server, 6_000);
    await admin.query(
      "update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse'",
    );
    const runs: z.infer<typeof Done>[] = [];
    let pushes = 0;
    while (pushes < rows && runs.length < runsMax) {
      const run = read(server, runMs);
      runs.push(run);
      pushes += run.pushes;
    }
    const [found] = await admin.query(
      'select count(*) pushes, count(distinct order_id) orders from push_db.push',
    );
    const [counts] = found as { pushes: string; orders: string }[];
    const once = Number(counts?.pushes) === rows && Number(counts?.orders) === rows;
    const megabytes = Math.max(...runs.map((run) => run.megabytes));
    const gotOn = runs.every((run) => run.pushes > 0);
    const seconds = Math.round((Date.now() - began) / 1000);
    return {
      title: `a transaction of ${rows.toLocaleString('en')} order rows`,
      facts: `${runs.length} runs, ${megabytes} MB above the start, ${counts?.pushes} pushes, ${seconds} s`,
      good: once && gotOn && megabytes <= megabytesMax,
    };
  } finally {
    await admin.end();
  }
}

function read({ port }: Server, ms: number): z.infer<typeof Done> {
  const args = [join(import.meta.dirname, 'reader.ts'), String(port), String(ms)];
  const { stdout, stderr } = spawnSync(process.execPath, [...v8Limits, ...args], {
    encoding: 'utf8',
  });
  const line = stdout.trim();
  if (!line) throw new Error(`The reader failed: ${stderr}`);
  return Done.parse(JSON.parse(line));
}
