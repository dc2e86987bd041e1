import {
  GetFunctionCommand,
  InvokeCommand,
  ResourceNotFoundException,
} from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { startedByHand, startedTag } from '../lib/platform/names.ts';
import { permissions } from './permissions.ts';
import type { Target } from './target.ts';
import { UsageError } from './usage-error.ts';

const Answer = z.looseObject({ outcome: z.string(), resume: z.unknown().optional() });
export type Answer = z.infer<typeof Answer>;

const Failure = z.object({ errorType: z.string().optional(), errorMessage: z.string() });

/**
 * Starts a function and waits for its answer. Throws what the function threw, without its stack.
 */
export async function invoke(target: Target, id: string, input: unknown): Promise<Answer> {
  const FunctionName = nameOf(target, id);
  const Payload = Buffer.from(JSON.stringify(input));
  const answer = await target.lambda
    .send(new InvokeCommand({ FunctionName, Payload }))
    .catch((error) => {
      throw error instanceof ResourceNotFoundException ? notDeployed(id) : error;
    });
  const payload: unknown = JSON.parse(Buffer.from(answer.Payload ?? []).toString() || 'null');
  if (answer.FunctionError) {
    const failure = Failure.safeParse(payload);
    const why = failure.success ? failure.data.errorMessage : JSON.stringify(payload);
    throw new Error(`${id} failed: ${why}`);
  }
  const read = Answer.safeParse(payload);
  if (read.success) return read.data;
  throw new Error(`${id} answered what no function does that a person starts.`);
}

/**
 * Throws `Mistake` unless a person may start it: a consumer, say, would take the input for a batch
 * of messages.
 */
export async function checkStartedByHand(target: Target, id: string): Promise<void> {
  const FunctionName = nameOf(target, id);
  const { Tags, TagsError } = await target.lambda
    .send(new GetFunctionCommand({ FunctionName }))
    .catch((error) => {
      throw error instanceof ResourceNotFoundException ? notDeployed(id) : error;
    });
  if (Tags?.[startedTag] === startedByHand) return;
  if (!Tags) {
    const { actions, resource } = permissions.GetFunctionCommand;
    const said = TagsError?.Message ? `: ${TagsError.Message}` : '';
    throw new Error(
      `Whether ${id} is started by hand is not known, because Lambda shows no tags of it (it needs ${actions.join(', ')} on ${resource})${said}`,
    );
  }
  throw new UsageError(`${id} is not started by hand: a queue, a schedule or a deploy starts it.`);
}

function nameOf({ functions }: Target, id: string): string {
  const name = functions.get(id);
  if (name) return name;
  throw new UsageError(
    `There is no function ${id}. There are: ${[...functions.keys()].join(', ')}.`,
  );
}

const notDeployed = (id: string) => new UsageError(`${id} is not deployed there: deploy first.`);
