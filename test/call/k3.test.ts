import { expect, test } from 'vitest';
import { postToK3 } from '../../lib/call/partners/k3.ts';
import { partner } from '../../lib/platform/partners/partner.ts';
import { startSimulator } from '../../local/simulators/controls.ts';

const contract = { number: 'C-1', customer: 'x', amount: 1, signed_at: '2026-01-01 00:00:00' };

test('a bill number of K3 that is longer than its column is kept as far as it fits', async () => {
  const bill_no = `${'X'.repeat(63)}😀单据`;
  const answering = {
    state: () => ({}),
    reset: () => {},
    refuse: () => ({ body: {} }),
    handle: () => ({ body: { success: true, bill_no } }),
  };
  const { url, close } = await startSimulator(answering);
  try {
    const k3 = partner({
      name: 'K3',
      baseUrl: url,
      timeoutMs: 1_000,
      retry: { attemptsMax: 1, delayMs: 0 },
    });
    expect(await postToK3(k3, 'A', contract)).toEqual({
      success: true,
      bill_no: `${'X'.repeat(63)}😀`,
    });
  } finally {
    await close();
  }
});
