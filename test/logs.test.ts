/** The last of all tests: what a whole run has logged, in the deployed functions and in the tests' own processes. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CloudWatchLogsClient,
  DescribeLogGroupsCommand,
  FilterLogEventsCommand,
} from '@aws-sdk/client-cloudwatch-logs';
import { expect, inject, test } from 'vitest';
import { clientOptions } from '../local/emulator.ts';
import { users } from '../local/users.ts';
import { started } from './support/started.ts';

const { endpoints, emulator } = await started('stack');

async function functionLogs(): Promise<string> {
  const logs = new CloudWatchLogsClient(clientOptions(emulator));
  const { logGroups = [] } = await logs.send(
    new DescribeLogGroupsCommand({ logGroupNamePrefix: '/signalbox/' }),
  );
  const lines: string[] = [];
  for (const { logGroupName } of logGroups) {
    let nextToken: string | undefined;
    do {
      const page = await logs.send(new FilterLogEventsCommand({ logGroupName, nextToken }));
      lines.push(...(page.events ?? []).map(({ message = '' }) => message));
      nextToken = page.nextToken;
    } while (nextToken);
  }
  return lines.join('\n');
}

const log = join(inject('dir'), 'log');
const files = globSync('{emulator,component-*}.log', { cwd: log });
const all =
  files.map((file) => readFileSync(join(log, file), 'utf8')).join('\n') + (await functionLogs());

test('there is something to search: deployed functions and the tests have logged what they did', () => {
  expect(files.length).toBeGreaterThan(2);
  for (const outcome of ['applied', 'rejected', 'published', 'failed', 'migrated'])
    expect(all).toContain(`"message":"${outcome}"`);
});

// Not what stands inside a UUID, a hash or a fraction.
test.each([
  ['telephone number', /(?<![\dA-Za-z.-])1[3-9]\d{9}(?![\dA-Za-z-])/g],
  ['landline number', /(?<![\dA-Za-z.:/-])0(10|2\d|[3-9]\d\d)-?[2-8]\d{6,7}(?![\dA-Za-z-])/g],
  ['identity card', /(?<![\dA-Za-z.-])[1-9]\d{5}(19|20)\d{9}[\dXx](?![\dA-Za-z-])/g],
  ['openid', /(?<![\w-])o[A-Za-z0-9_-]{27}(?![\w-])/g],
  ['token in a URL', /access_token=(?!\*)[^&\s"]+/g],
  ['signed address', /X-Amz-Signature=(?!\*)[^&\s"]+/g],
  ['bearer token', /eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/g],
])('no %s', (_what, pattern) => {
  expect(all.match(pattern)).toBeNull();
});

test('no password and no token of the stack', () => {
  const { upstash, redis, credentials } = endpoints;
  const secrets = [
    ...Object.values(users).map(({ password }) => password),
    upstash.token,
    redis.password,
    credentials.upstream.secret,
    credentials.operator,
  ];
  for (const secret of secrets) expect(all).not.toContain(secret);
});
