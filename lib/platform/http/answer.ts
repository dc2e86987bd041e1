/** Makes the handlers of routes, and maps errors to answers. */
import middy from '@middy/core';
import type {
  APIGatewayProxyEventV2,
  Context,
  APIGatewayProxyStructuredResultV2 as Result,
} from 'aws-lambda';
import { isUnavailable, Postponed, Rejected } from '../errors.ts';
import { withinTime } from '../lambda/invocation.ts';
import { observed, report, reportFailure } from '../lambda/log.ts';
import { type Refusal, Refused, refusal } from './refusal.ts';
import { inputsOf, type RawRequest, rawRequestOf } from './request.ts';
import type { Answer, AnyHandle, Caller, Route } from './route.ts';

/**
 * Makes the handler of a route. `identify` determines the caller by any means, and throws `Refused` if it cannot.
 *
 * | thrown by `handle`       | answered                                   |
 * | ------------------------ | ------------------------------------------ |
 * | `Refused`                | its code                                   |
 * | `Rejected`               | `invalid_body` with its text               |
 * | `Postponed`              | `unavailable` with Retry-After             |
 * | a database is unavailable | `unavailable`                             |
 * | any other error          | `internal`; its text is in the log only    |
 *
 * A request is not delivered a second time, so work that must follow a commit is a row of the outbox.
 */
export function answer<Handle extends AnyHandle>(
  route: Route<Handle>,
  identify: (request: RawRequest) => Promise<Caller> | Caller,
  handle: NoInfer<Handle>,
) {
  return middy<APIGatewayProxyEventV2, Result>()
    .use(observed)
    .handler(async (event: APIGatewayProxyEventV2, context: Context): Promise<Result> => {
      const detail = { method: route.method, route: route.path };
      const known: { caller?: string } = {};
      const handleRequest = async () => {
        const request = rawRequestOf(event);
        const caller = await identify(request);
        known.caller = caller.name;
        const { at, headers } = request;
        const inputs = { ...inputsOf(route, event, request), caller, at, headers };
        // The schemas produce the input type of the handle, which the compiler cannot infer.
        return await handle(inputs as never);
      };
      try {
        const result = await withinTime(context, handleRequest);
        report(result.outcome, { ...detail, status: result.status, ...known });
        return resultOf(route, result);
      } catch (error) {
        const refused = refusalFor(error);
        const { outcome, status } = refused;
        const facts = { ...detail, status, ...known };
        if (status >= 500) reportFailure(outcome, facts, error);
        else report(outcome, { ...facts, why: refused.body.error.message });
        return resultOf(route, refused);
      }
    });
}

/** Identifies every caller as `anyone`: for open routes, and for handlers that know the caller by other means. */
export const anyone = (): Caller => ({ name: 'anyone', may: [] });

const unavailableRetrySeconds = 5;

function refusalFor(error: unknown): Refusal {
  if (error instanceof Refused) return error.refusal;
  if (error instanceof Rejected) return refusal('invalid_body', error.message);
  if (error instanceof Postponed) {
    const retryAfterSeconds = Math.max(1, Math.ceil((error.until.getTime() - Date.now()) / 1000));
    return refusal('unavailable', 'Not now; try again later.', { retryAfterSeconds });
  }
  if (isUnavailable(error))
    return refusal('unavailable', 'A service that this needs is unavailable; try again.', {
      retryAfterSeconds: unavailableRetrySeconds,
    });
  return refusal('internal', 'Something went wrong on our side.', { outcome: 'failed' });
}

function resultOf({ answers }: Route, { status, body, headers }: Answer): Result {
  const media = answers[status];
  const text = typeof media === 'string' && typeof body === 'string';
  return {
    statusCode: status,
    headers: {
      'content-type': text ? media : 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
    body: text ? body : JSON.stringify(body),
  };
}
