import { createServer } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { freePort, freeRange, holderOf } from '../../local/ports.ts';

const server = createServer();
const listen = (port: number) =>
  new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
afterEach(() => new Promise((closed) => server.close(closed)));

test('a port that was asked for and is in use is said, with its holder', async () => {
  await listen(0);
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const message = await freePort('MySQL', port).catch((error) => error.message);
  expect(message).toMatch(
    new RegExp(`^Port ${port}, asked for MySQL, is in use by .+ \\(process ${process.pid}\\)\\.$`),
  );
  expect(holderOf(port)).toContain(`(process ${process.pid})`);
});

test('a cluster needs its ports and its bus ports; the preferred ones are left when one is taken', async () => {
  const first = await freeRange('Redis', 6, 24_100, undefined);
  await listen(first + 10_003);
  expect(await freeRange('Redis', 6, first, undefined)).not.toBe(first);
  await expect(freeRange('Redis', 6, first, first)).rejects.toThrow(
    `Port ${first + 10_003}, asked for Redis, is in use by`,
  );
});

test('a port is given away once, though nobody listens on it yet', async () => {
  const draws = [0.5, 0.5];
  const random = vi.spyOn(Math, 'random').mockImplementation(() => draws.shift() ?? 0.7);
  const first = await freePort('MySQL', undefined);
  expect(await freePort('Redis', undefined)).not.toBe(first);
  random.mockRestore();
});

test('a range of ports does not contain a port that is assigned already, though nobody listens on it yet', async () => {
  const random = vi.spyOn(Math, 'random').mockReturnValue((16_230 - 11_000) / 9_000);
  const port = await freePort('a partner', undefined);
  random.mockRestore();
  expect(await freeRange('Redis', 6, port - 10_001, undefined)).not.toBe(port - 10_001);
  await expect(freeRange('Redis', 6, port - 10_001, port - 10_001)).rejects.toThrow(
    `Port ${port}, asked for Redis`,
  );
});
