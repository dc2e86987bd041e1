/** Invokes functions through AWS Lambda. */
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

/** Invokes a function and returns its answer. Throws with the function's error message if it failed. */
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
    const message = failure.success ? failure.data.errorMessage : JSON.stringify(payload);
    throw new Error(`${id} failed: ${message}`);
  }
  const parsed = Answer.safeParse(payload);
  if (parsed.success) return parsed.data;
  throw new Error(
    `${id} returned an answer without an outcome; only functions that are started by hand return one.`,
  );
}

/**
 * Throws `UsageError` unless the function may be started by hand: a consumer, for example, would read the input as a
 * batch of messages.
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
    const detail = TagsError?.Message ? `: ${TagsError.Message}` : '';
    throw new Error(
      `Could not check whether ${id} is started by hand: Lambda returned no tags (this needs ${actions.join(', ')} on ${resource})${detail}`,
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

const notDeployed = (id: string) =>
  new UsageError(`${id} is not deployed in this stack: deploy first.`);
