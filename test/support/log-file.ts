/** What handlers log goes to a file of its own: the last of all tests searches it for what must not be in a log. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';

const file = join(inject('dir'), `log/component-${process.pid}.log`);
for (const stream of [process.stdout, process.stderr]) {
  const print = stream.write.bind(stream);
  stream.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    if (!String(chunk).startsWith('{')) return print(chunk, ...rest);
    appendFileSync(file, chunk);
    return true;
  }) as typeof stream.write;
}
