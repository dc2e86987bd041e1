/** What infra/ gives a deployed function, for handlers that run in a test's own process. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { settingsName } from '../../infra/constructs/names.ts';
import {
  busVariable,
  type MysqlName,
  oidcVariables,
  secretVariable,
  settingsVariable,
} from '../../lib/platform/names.ts';
import { audience, mysqlUsers } from '../../local/users.ts';

const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);
const { env } = inject('emulator');

Object.assign(process.env, env, {
  TZ: 'Asia/Shanghai',
  POWERTOOLS_LOG_LEVEL: 'INFO',
  POWERTOOLS_SERVICE_NAME: 'test',
  ...Object.fromEntries(
    Object.keys(mysqlUsers).map((name) => [
      secretVariable(name as MysqlName),
      `signalbox/test-${worker}/${name}`,
    ]),
  ),
  [secretVariable('payment')]: 'signalbox/local/payment',
  [secretVariable('redis')]: 'signalbox/local/redis', // One gateway serves both workers.
  [secretVariable('upstream-keys')]: 'signalbox/local/upstream-keys',
  [oidcVariables.issuer]: inject('endpoints').simulators.identity,
  [oidcVariables.audience]: audience,
  ...Object.fromEntries(
    Object.keys(inject('endpoints').parameters).map((domain) => [
      settingsVariable(domain),
      settingsName(`test-${worker}`, domain),
    ]),
  ),
  [busVariable]: 'signalbox',
});

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
