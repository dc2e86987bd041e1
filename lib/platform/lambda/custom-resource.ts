/** Makes handlers of CloudFormation custom resources. */
import middy from '@middy/core';
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import type * as z from 'zod';
import { cutTo } from '../cut.ts';
import { textOf } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { withinTime } from './invocation.ts';
import { type Outcome, observed, report, reportFailure } from './log.ts';
import { mask } from './mask.ts';

/** The maximum size of the whole answer. The longest reason that fits is sent. */
const answerBytesMax = 4_096;
const reasonLengths = [1000, 500, 250, 100];
const answerAttemptsMax = 5;
/** The work ends this long before the timeout, so that the deploy still gets the reason. */
const answerMs = 10_000;

/**
 * Makes the handler of a CloudFormation custom resource. `handle` runs on creation and on update; deletion does
 * nothing. The deploy waits for the answer and fails with the reason if `handle` throws.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
 */
export function customResource<Properties>(
  schema: z.ZodType<Properties>,
  handle: (properties: Properties) => Promise<Outcome>,
) {
  return middy<CloudFormationCustomResourceEvent, void>()
    .use(observed)
    .handler(async (event: CloudFormationCustomResourceEvent, context: Context) => {
      const { RequestType, StackId, RequestId, LogicalResourceId, ResponseURL } = event;
      const detail = { request: RequestType, resource: LogicalResourceId };
      const PhysicalResourceId =
        'PhysicalResourceId' in event ? event.PhysicalResourceId : context.functionName;
      const answer = { StackId, RequestId, LogicalResourceId, PhysicalResourceId };
      try {
        const outcome =
          RequestType === 'Delete'
            ? 'left-as-is'
            : await withinTime(context, () => work(event), answerMs);
        report(outcome, detail);
        await put(ResponseURL, { ...answer, Status: 'SUCCESS' });
      } catch (error) {
        reportFailure('failed', detail, error);
        await put(ResponseURL, failureOf(answer, mask(textOf(error))));
      }
    });

  function work(event: CloudFormationCustomResourceEvent): Promise<Outcome> {
    const properties = schema.safeParse(event.ResourceProperties);
    if (properties.success) return handle(properties.data);
    throw new Error(`The resource's properties are not valid: ${issuesOf(properties.error)}`);
  }
}

function failureOf(answer: object, reason: string): Readonly<Record<string, unknown>> {
  const failures = reasonLengths.map((length) => ({
    ...answer,
    Status: 'FAILED',
    Reason: cutTo(reason, length),
  }));
  const fits = (one: object) => Buffer.byteLength(JSON.stringify(one)) <= answerBytesMax;
  return failures.find(fits) ?? { ...answer, Status: 'FAILED', Reason: '' };
}

async function put(url: string, answer: Readonly<Record<string, unknown>>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(url, {
        method: 'PUT',
        body: JSON.stringify(answer),
        signal: AbortSignal.timeout(10_000),
      });
      if (response.ok) return;
      throw new Error(`CloudFormation answered ${response.status}.`);
    } catch (error) {
      if (attempt === answerAttemptsMax) throw error;
      await new Promise((done) => setTimeout(done, 500 * attempt));
    }
  }
}
