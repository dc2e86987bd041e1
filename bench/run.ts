/** `npm run bench`: what is promised of size and speed, each beside a peer that was measured in the same run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchBinlog } from './binlog.ts';
import { benchBundles } from './bundles.ts';
import { benchCharge } from './charge.ts';
import { benchConsume } from './consume.ts';
import { benchCost } from './cost.ts';
import { benchPropagate } from './propagate.ts';
import { benchSend } from './send.ts';

const dir = mkdtempSync(join(tmpdir(), 'signalbox-bench-'));
try {
  console.log(`${await benchConsume()}\n`);
  console.log(`${await benchSend(dir)}\n`);
  console.log(`${await benchPropagate(dir)}\n`);
  console.log(`${await benchCharge(dir)}\n`);
  console.log(`${await benchBinlog(dir)}\n`);
  console.log(`${await benchBundles(dir)}\n`);
  console.log(await benchCost());
} finally {
  rmSync(dir, { recursive: true, force: true });
}
