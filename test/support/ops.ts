/** Runs the CLI of ops/ in tests, and makes dead-letter queues for it. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  SendMessageBatchCommand,
  type ServiceOutputTypes,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import { inject } from 'vitest';
import { root } from '../../local/root.ts';
import { type CliDeps, runCli } from '../../ops/cli.ts';
import { sqs, testDeadLetterQueue, testQueue } from './queues.ts';
import { started } from './started.ts';

export interface CliResult {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

const stack = await started('stack');
const program = join(root, 'ops/main.ts');

/** Calls the CLI in this process, as if typed in the project's folder. */
export async function ops(...args: string[]): Promise<CliResult> {
  return await opsWith({}, ...args);
}

/** Calls the CLI in this process, with parts of what its process gives replaced. */
export async function opsWith(overrides: Partial<CliDeps>, ...args: string[]): Promise<CliResult> {
  let out = '';
  let error = '';
  const status = await runCli(args, {
    print: (text) => {
      out += `${text}\n`;
    },
    printError: (text) => {
      error += `${text}\n`;
    },
    endSignal: () => new AbortController().signal,
    now: Date.now,
    typedIn: root,
    makeSqs: (config) => new SQSClient(config),
    longPollSeconds: 0, // The emulator's empty answer always means an empty queue.
    ...overrides,
  });
  return { status, out, error };
}

/**
 * Makes SQS clients that await `before` and `after` around each call. A promise that never settles has the effect of a
 * crash at that call.
 */
export const sqsWith =
  (
    before: (call: string) => Promise<void>,
    after: (call: string, output: ServiceOutputTypes) => Promise<void> = async () => {},
  ) =>
  (config: SQSClientConfig): SQSClient => {
    const client = new SQSClient(config);
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          const call = commandName.replace(/Command$/, '');
          await before(call);
          const result = await next(args);
          await after(call, result.output);
          return result;
        },
      { step: 'initialize', priority: 'high' },
    );
    return client;
  };

/** Runs the CLI as its own process, as `npm run ops -- …` does. */
export function opsProcess(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: root,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let error = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    error += data;
  });
  const ended = new Promise<CliResult>((resolve) =>
    child.on('close', (status) => resolve({ status, out, error })),
  );
  return { child, ended };
}

/**
 * Makes the folder of a stack that has the functions of the started stack, and new queues without consumers.
 */
export async function stackWith(...ids: `${string}/${string}`[]) {
  const dir = join(inject('dir'), 'ops', randomUUID());
  mkdirSync(dir, { recursive: true });
  const live = new Map<string, string>();
  const dead = new Map<string, string>();
  for (const id of ids) {
    live.set(id, await testQueue({ id }));
    dead.set(id, await testDeadLetterQueue({ id }));
  }
  const endpoints = {
    ...stack.endpoints,
    queues: Object.fromEntries(live),
    deadLetterQueues: Object.fromEntries(dead),
  };
  const write = (overrides: Readonly<Record<string, unknown>> = {}) =>
    writeFileSync(join(dir, 'endpoints.json'), JSON.stringify({ ...endpoints, ...overrides }));
  write();
  const urlIn = (urls: Map<string, string>, id: string) => {
    const url = urls.get(id);
    if (!url) throw new Error(`${id}: no queue was made for this id.`);
    return url;
  };
  return {
    dir,
    write,
    live: (id: string) => urlIn(live, id),
    dead: (id: string) => urlIn(dead, id),
  };
}

/** Sends dead letters as a consumer does, with the reason and the original message id as attributes. */
export async function sendDeadLetters(
  QueueUrl: string,
  letters: readonly { readonly body: string; readonly reason?: string }[],
): Promise<void> {
  const text = (StringValue: string) => ({ DataType: 'String', StringValue });
  for (let start = 0; start < letters.length; start += 10) {
    const Entries = letters.slice(start, start + 10).map(({ body, reason }, index) => ({
      Id: String(index),
      MessageBody: body,
      ...(reason && {
        MessageAttributes: {
          reason: text(reason),
          messageId: text(randomUUID()),
          sentAt: text('1795238400000'),
        },
      }),
    }));
    await sqs().send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  }
}
