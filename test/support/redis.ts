import { vi } from 'vitest';
import { type Cache, cache } from '../../lib/platform/cache/redis.ts';

/** The real cache, asked with patience: a machine that has much to do may be slower than a call is allowed to be. */
export async function patientCache(): Promise<Cache> {
  const ask = cache({ timeoutMs: 5_000, pauseMs: 0 });
  await vi.waitUntil(async () => (await ask((redis) => redis.ping())) === 'PONG', {
    timeout: 10_000,
  });
  return ask;
}
