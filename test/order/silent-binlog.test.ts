import { beforeEach, test, vi } from 'vitest';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { resetDatabases, serverOfWorker } from '../support/databases.ts';
import { became, binlogAt, checkpoint, placed, pushed, readerOf } from '../support/orders.ts';
import { silentProxy } from '../support/silent-proxy.ts';

beforeEach(resetDatabases);

test('connections to the order database that have fallen silent are replaced within one run', async () => {
  const proxy = await silentProxy(serverOfWorker());
  const end = Date.now() + 60_000;
  let over = false;
  const remaining = () => (over ? 0 : end - Date.now());
  const reading = tailBinlog(readerOf(binlogAt(proxy)), { remaining });
  try {
    await vi.waitUntil(async () => 'file' in (await checkpoint()), { timeout: 10_000 });
    await placed(1, 'PENDING_ACCEPT');
    await became(1, 'PENDING_SERVICE', 'nurse');
    await vi.waitUntil(async () => (await pushed()).length === 1, { timeout: 10_000 });
    proxy.swallow();
    await became(1, 'IN_SERVICE', 'nurse');
    await vi.waitUntil(async () => (await pushed()).length === 2, { timeout: 45_000 });
  } finally {
    over = true;
    await reading;
    await proxy.close();
  }
});
