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

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

const stack = await started('stack');
const program = join(root, 'ops/main.ts');

/** Calls the CLI in this process; typed in the project's folder. */
export async function ops(...args: string[]): Promise<Ended> {
  return await opsWith({}, ...args);
}

/** Calls the CLI in this process, with parts of what its process gives replaced. */
export async function opsWith(changed: Partial<CliDeps>, ...args: string[]): Promise<Ended> {
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
    longPollSeconds: 0, // The emulator keeps a queue in one place: its empty answer is always true.
    ...changed,
  });
  return { status, out, error };
}

/**
 * Makes SQS clients whose calls wait for `before` and `after`; they learn the call's name. A
 * promise of theirs that never settles leaves in SQS what a process leaves that dies there.
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

/** Runs the CLI as a process of its own, as `npm run ops -- …` does. */
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
  const ended = new Promise<Ended>((end) =>
    child.on('close', (status) => end({ status, out, error })),
  );
  return { child, ended };
}

/**
 * A stack's folder whose functions are the deployed ones and whose queues are new, with nobody who
 * drains them.
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
  const write = (changed: Readonly<Record<string, unknown>> = {}) =>
    writeFileSync(join(dir, 'endpoints.json'), JSON.stringify({ ...endpoints, ...changed }));
  write();
  const urlIn = (urls: Map<string, string>, id: string) => {
    const url = urls.get(id);
    if (!url) throw new Error(`${id} is none of the queues that were made.`);
    return url;
  };
  return {
    dir,
    write,
    live: (id: string) => urlIn(live, id),
    dead: (id: string) => urlIn(dead, id),
  };
}

/** Sets messages aside as a consumer does: body, reason, and the id that the message had. */
export async function setAside(
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
