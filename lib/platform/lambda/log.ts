/** Writes log lines and metrics; all handlers run inside its middleware. */
import { Logger } from '@aws-lambda-powertools/logger';
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware';
import type { MiddlewareObj } from '@middy/core';
import type { OutcomeWord } from '../outcomes.ts';
import { mask, maskedValue } from './mask.ts';

/** The result of a domain function: its outcome word, with or without facts. */
export type Outcome = OutcomeWord | OutcomeWithFacts;
export type OutcomeWithFacts = { readonly outcome: OutcomeWord } & Facts;
type Facts = Readonly<Record<string, unknown>> & {
  /** Additional metrics by name, for alarms. The unit is seconds, unless the name begins with `bytes` or `rows`. */
  readonly measured?: Readonly<Record<string, number>>;
};

const logger = new Logger({ jsonReplacerFn: maskedValue });
const metrics = new Metrics({ namespace: 'signalbox' });

/** Writes one log line and counts one outcome. */
export function report(result: Outcome, detail: Readonly<Record<string, unknown>>): void {
  const { outcome, ...facts } = factsOf(result);
  metrics.addMetric(outcome, MetricUnit.Count, 1);
  for (const [name, value] of Object.entries(facts.measured ?? {}))
    metrics.addMetric(name, unitOf(name), value);
  logger.info(outcome, { ...detail, ...facts });
}

function unitOf(name: string) {
  if (name.startsWith('bytes')) return MetricUnit.Bytes;
  return name.startsWith('rows') ? MetricUnit.Count : MetricUnit.Seconds;
}

const factsOf = (result: Outcome): { readonly outcome: OutcomeWord } & Facts =>
  typeof result === 'string' ? { outcome: result } : result;

/** Writes a log line about unfinished work and counts nothing. */
export function reportProgress(detail: Readonly<Record<string, unknown>>): void {
  logger.info('progress', detail);
}

/** Writes one log line with an error and counts one outcome. */
export function reportFailure(
  outcome: OutcomeWord,
  detail: Readonly<Record<string, unknown>>,
  error: unknown,
): void {
  metrics.addMetric(outcome, MetricUnit.Count, 1);
  logger.warn(outcome, { ...detail, error: error instanceof Error ? error : String(error) });
}

/**
 * Masks errors that leave the handler, because Lambda logs them with all their properties (a statement with its
 * values, for example).
 */
const masked: MiddlewareObj = {
  onError: (request) => {
    metrics.addMetric('failed', MetricUnit.Count, 1);
    request.error = maskedError(request.error);
  },
};

function maskedError(thrown: unknown): Error {
  if (!(thrown instanceof Error))
    return new Error(mask(typeof thrown === 'object' ? JSON.stringify(thrown) : String(thrown)));
  const cause = thrown.cause === undefined ? {} : { cause: maskedError(thrown.cause) };
  const error = new Error(mask(thrown.message), cause);
  error.name = thrown.name;
  if (thrown.stack) error.stack = mask(thrown.stack);
  return error;
}

/** The middleware of every handler: the request id on each line, the metrics at the end, and masked errors. */
export const observed: MiddlewareObj[] = [injectLambdaContext(logger), logMetrics(metrics), masked];
