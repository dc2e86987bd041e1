/** Finds the queues and functions of a local or a deployed stack. */
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { LambdaClient, type LambdaClientConfig } from '@aws-sdk/client-lambda';
import { ListQueuesCommand, type SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs';
import * as z from 'zod';
import { deadLetterOf } from '../lib/platform/messaging/queue.ts';
import { resourceName } from '../lib/platform/names.ts';
import { UsageError } from './usage-error.ts';

/** A queue and its dead-letter queue, with the id of the function that consumes it. */
export interface Drained {
  readonly id: string;
  readonly live: string;
  readonly dead: string;
}

/** A running stack, local or deployed. */
export interface Target {
  /** Describes where the stack runs: a folder, or an account and a region. */
  readonly place: string;
  /** The command-line option that selects this stack, with a leading space; empty for the default. */
  readonly option: string;
  readonly sqs: SQSClient;
  readonly lambda: LambdaClient;
  readonly metrics: CloudWatchClient;
  /** Sorted by function id. */
  readonly queues: readonly Drained[];
  /** Lambda function names by function id. */
  readonly functions: ReadonlyMap<string, string>;
}

/** Options for invocations, which may take 15 minutes; the client does not retry one without an answer. */
const invocation = {
  maxAttempts: 1,
  requestHandler: { requestTimeout: 16 * 60_000 },
} as const satisfies LambdaClientConfig;

export interface TargetDeps {
  /** The folder in which the command was typed: a relative `--local` starts there. */
  readonly typedIn: string;
  readonly makeSqs: (config: SQSClientConfig) => SQSClient;
}

const root = join(import.meta.dirname, '..');

/** The fields of `.local/endpoints.json` that the CLI needs. */
const Endpoints = z.object({
  aws: z.url(),
  region: z.string(),
  queues: z.record(z.string(), z.url()),
  deadLetterQueues: z.record(z.string(), z.url()),
  functions: z.record(z.string(), z.string()),
});

/** Returns the local stack. Throws `UsageError` if it does not run. */
export async function localTarget(
  { typedIn, makeSqs }: TargetDeps,
  given: string | undefined,
): Promise<Target> {
  const dir = given === undefined ? join(root, '.local') : resolve(typedIn, given);
  const { aws, region, ...found } = endpointsIn(dir);
  const answers = await fetch(aws).catch(() => undefined);
  if (!answers)
    throw new UsageError(`The local stack of ${dir} does not answer at ${aws}: start it again.`);
  const options = {
    endpoint: aws,
    region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  const queues = Object.entries(found.queues).flatMap(([id, live]) => {
    const dead = found.deadLetterQueues[id];
    return dead ? [{ id, live, dead }] : [];
  });
  return {
    place: `the local stack of ${dir}`,
    option: given === undefined ? '' : ` --local ${given}`,
    sqs: makeSqs(options),
    lambda: new LambdaClient({ ...options, ...invocation }),
    metrics: new CloudWatchClient(options),
    queues: queues.toSorted((a, b) => a.id.localeCompare(b.id)),
    functions: new Map(Object.entries(found.functions)),
  };
}

function endpointsIn(dir: string): z.infer<typeof Endpoints> {
  const file = join(dir, 'endpoints.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new UsageError(
      `No local stack is running: ${file} is missing. Run \`npm start\`, or use --cloud.`,
    );
  }
  const endpoints = Endpoints.safeParse(JSON.parse(text));
  if (endpoints.success) return endpoints.data;
  throw new UsageError(`${file} is not the file of a local stack: ${endpoints.error.message}`);
}

/** Returns the stack that is deployed in the AWS account and region of the person's own configuration. */
export async function cloudTarget({ makeSqs }: TargetDeps): Promise<Target> {
  const sqs = makeSqs({});
  const urls = await queueUrls(sqs);
  const ids = globSync('functions/*/*.ts', { cwd: root })
    .map((path) => path.slice('functions/'.length, -'.ts'.length) as `${string}/${string}`)
    .toSorted();
  const queues = ids.flatMap((id) => {
    const live = urls.get(resourceName(id));
    const dead = urls.get(resourceName(deadLetterOf({ id }).id));
    return live && dead ? [{ id, live, dead }] : [];
  });
  const functions = new Map(ids.map((id) => [id, resourceName(id)]));
  const lambda = new LambdaClient(invocation);
  const place = `the stack deployed in ${describeAccount(urls)}, region ${await sqs.config.region()}`;
  return {
    place,
    option: ' --cloud',
    sqs,
    lambda,
    metrics: new CloudWatchClient({}),
    queues,
    functions,
  };
}

/** A safety limit; Signalbox has fewer queues than one page holds. */
const pagesMax = 10;

async function queueUrls(sqs: SQSClient): Promise<Map<string, string>> {
  const urls = new Map<string, string>();
  let NextToken: string | undefined;
  for (let page = 0; page < pagesMax; page++) {
    const input = { QueueNamePrefix: resourceName(''), MaxResults: 1000, NextToken };
    const answer = await sqs.send(new ListQueuesCommand(input));
    for (const url of answer.QueueUrls ?? []) urls.set(url.slice(url.lastIndexOf('/') + 1), url);
    NextToken = answer.NextToken;
    if (!NextToken) break;
  }
  return urls;
}

/** Reads the account from a queue URL: https://sqs.<region>.amazonaws.com/<account>/<name>. */
function describeAccount(urls: ReadonlyMap<string, string>): string {
  const [url] = urls.values();
  const account = url === undefined ? undefined : new URL(url).pathname.split('/').at(-2);
  return account ? `account ${account}` : 'an account without Signalbox queues';
}

/** Returns the queue of a function. Throws `UsageError` with the existing ids if there is none. */
export function queueOf({ queues }: Target, id: string): Drained {
  const found = queues.find((queue) => queue.id === id);
  if (found) return found;
  const ids = queues.map((queue) => queue.id).join(', ');
  throw new UsageError(
    `No function ${id} has a queue in this stack. Functions with a queue: ${ids || 'none'}.`,
  );
}
