/** Starts a local OpenSearch. */
import { mkdirSync, rmSync } from 'node:fs';
import { openSearchClassPath } from './install.ts';
import type { Processes } from './processes.ts';

const heap = ['-Xms512m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:MaxDirectMemorySize=256m'];

/** Starts a real, empty OpenSearch and returns its URL. */
export async function startOpenSearch(
  processes: Processes,
  dir: string,
  port: number,
): Promise<string> {
  const classPath = await openSearchClassPath();
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const url = `http://127.0.0.1:${port}`;
  // The port answers before the shards are ready, so the cluster health is checked.
  const health = `${url}/_cluster/health?wait_for_status=yellow&timeout=1s`;
  const isReady = () =>
    fetch(health).then(
      ({ ok }) => ok,
      () => false,
    );
  const command = [
    'java',
    ...heap,
    '-cp',
    classPath,
    'OpenSearchLocal',
    String(port),
    dir,
  ] as const;
  await processes.start('opensearch', [...command], isReady);
  return url;
}
