/** What infra/ gives a deployed function, for handlers that run in a test's own process. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { workerServers } from './started.ts';

Object.assign(process.env, (await workerServers()).env);

// What handlers log goes to a file of its own: the last of all tests searches it for what must not be in a log.
const file = join(inject('dir'), `log/component-${process.pid}.log`);
for (const stream of [process.stdout, process.stderr]) {
  const print = stream.write.bind(stream);
  stream.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    if (!String(chunk).startsWith('{')) return print(chunk, ...rest);
    appendFileSync(file, chunk);
    return true;
  }) as typeof stream.write;
}
