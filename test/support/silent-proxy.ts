import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy that can swallow: what is sent over connections of before is neither passed on nor refused. */
export interface SilentProxy {
  readonly host: string;
  readonly port: number;
  /** Connections that are open now fall silent, both ways; new ones work. */
  readonly swallow: () => void;
  /** From now on new connections lead to another port. */
  readonly leadTo: (port: number) => void;
  /** Connections that were ever opened. */
  readonly opened: () => number;
  readonly close: () => Promise<void>;
}

export async function silentProxy(server: {
  readonly host: string;
  readonly port: number;
}): Promise<SilentProxy> {
  let target = server.port;
  let opened = 0;
  const pairs = new Set<readonly [Socket, Socket]>();
  const proxy = createServer((client) => {
    opened += 1;
    const upstream = connect(target, server.host);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    client.pipe(upstream).pipe(client);
    for (const socket of pair) socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((listening) => proxy.listen(0, server.host, listening));
  const address = proxy.address();
  return {
    host: server.host,
    port: typeof address === 'object' && address ? address.port : 0,
    swallow: () => {
      for (const [client, upstream] of pairs) {
        client.unpipe(upstream);
        upstream.unpipe(client);
        for (const socket of [client, upstream]) {
          socket.on('data', () => {});
          socket.resume();
        }
      }
    },
    leadTo: (port) => {
      target = port;
    },
    opened: () => opened,
    close: async () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      await new Promise((closed) => proxy.close(closed));
    },
  };
}
