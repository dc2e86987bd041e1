/**
 * Starts bundles one after the other in one process, each with exactly the variables of its template, and hands each
 * one event. AWS is a server of this process that gives a function what its role allows and nothing else. No database,
 * cache or partner can be reached. What came of it is written to a file: named by the arguments, as what is to be done.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { contextOf } from './lambda.ts';
import { allows, arnOf, type DeployedFunction } from './template-values.ts';

export interface ToStart extends DeployedFunction {
  readonly file: string;
  readonly event: object;
  /** Until its time-out: as little as it needs to begin. */
  readonly remainingMs: number;
}

export interface Given {
  readonly functions: readonly ToStart[];
  /** What secrets and parameters hold, by their names. */
  readonly held: Readonly<Record<string, unknown>>;
}

export interface Started {
  /** The variables that the function looked for, of those that infra/ gives. */
  readonly asked: readonly string[];
  /** What it did at AWS, as action and resource. */
  readonly did: readonly string[];
  readonly denied: readonly string[];
  /** What it answered, or the error that got out. */
  readonly answer: string;
}

const given = /^(?:SECRET|QUEUE|SETTINGS|OIDC)_|^BUS$|^BINLOG_/;
const [, , input = '', output = ''] = process.argv;
const { functions, held } = JSON.parse(readFileSync(input, 'utf8')) as Given;

let statements: DeployedFunction['statements'] = [];
let did: string[] = [];
let denied: string[] = [];

/** What CloudFormation was told by a custom resource. */
let told = '';

const server = createServer(async (request, response) => {
  if (request.method === 'PUT') {
    told = await textOf(request);
    response.end();
    return;
  }
  const { action, resources, answer } = callOf(request, await textOf(request));
  for (const resource of resources) {
    const call = `${action} ${resource}`;
    (allows(statements, action, resource) ? did : denied).push(call);
  }
  const refused = resources.length === 0 || denied.length > 0;
  response.writeHead(refused ? 400 : 200, { 'content-type': 'application/x-amz-json-1.0' });
  response.end(JSON.stringify(refused ? { __type: 'AccessDeniedException' } : answer));
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of request) text += part;
  return text;
}

function callOf({ headers }: IncomingMessage, text: string) {
  const [, action = ''] = String(headers['x-amz-target']).split('.');
  const body = JSON.parse(text || '{}') as Readonly<Record<string, string>>;
  const queue = body['QueueName'] ?? body['QueueUrl']?.split('/').at(-1);
  if (action === 'GetSecretValue') {
    const id = body['SecretId'] ?? '';
    return {
      action: 'secretsmanager:GetSecretValue',
      resources: [arnOf('secretsmanager', `secret:${id}-AbCdEf`)],
      answer: { Name: id, SecretString: JSON.stringify(held[id]) },
    };
  }
  if (action === 'GetParameter') {
    const name = body['Name'] ?? '';
    const Parameter = { Name: name, Type: 'String', Value: JSON.stringify(held[name]) };
    return {
      action: 'ssm:GetParameter',
      resources: [arnOf('ssm', `parameter${name}`)],
      answer: { Parameter },
    };
  }
  return {
    action: `sqs:${action.replace('Batch', '')}`,
    resources: queue ? [arnOf('sqs', queue)] : [],
    answer: { QueueUrl: `https://sqs.example/1/${queue}`, Successful: [], Failed: [] },
  };
}

await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const { port } = server.address() as AddressInfo;
const address = `http://127.0.0.1:${port}`;

/** What the runtime of Lambda says to every function. */
const ofRuntime = {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'key',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_ENDPOINT_URL: address,
};

const results: Record<string, Started> = {};
for (const { id, variables, statements: allowed, ...invocation } of functions) {
  const asked = new Set<string>();
  [statements, did, denied, told] = [allowed, [], [], ''];
  process.env = new Proxy<NodeJS.ProcessEnv>(
    { ...ofRuntime, LAMBDA_TASK_ROOT: dirname(invocation.file), ...variables },
    {
      get: (target, name) => {
        if (given.test(String(name))) asked.add(String(name));
        return Reflect.get(target, name);
      },
    },
  );
  const answer = await started(invocation);
  results[id] = { asked: [...asked].toSorted(), did, denied, answer };
}
writeFileSync(output, JSON.stringify(results));
process.exit();

async function started({ file, event, remainingMs }: Omit<ToStart, keyof DeployedFunction>) {
  try {
    const { handler } = await import(file);
    const asked = { ...event, ...('ResponseURL' in event && { ResponseURL: address }) };
    const answer = await handler(asked, contextOf(remainingMs));
    return told || (JSON.stringify(answer) ?? 'done');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
