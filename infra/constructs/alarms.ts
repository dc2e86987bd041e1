/** Alarms of functions, queues, outcomes and measures. */
import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Alias, IVersion, Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { Queue as SqsQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { resourceName } from '../../lib/platform/names.ts';
import type { OutcomeWord } from '../../lib/platform/outcomes.ts';
import type { Domain } from './synthesis.ts';

export interface Watch {
  /** Each kind of alarm is explained in docs/runbooks/<kind>.md. */
  readonly kind: string;
  readonly metric: IMetric;
  /** The alarm goes off when the metric is at or above this. */
  readonly threshold: number;
  readonly periods?: number;
}

const period = Duration.minutes(1);

export function watchFunction(
  stack: Domain,
  id: string,
  harm: string,
  made: Lambda,
  { timeout, worksToTheEnd }: { readonly timeout: Duration; readonly worksToTheEnd?: true },
): void {
  const duration = made.metricDuration({ period, statistic: 'max' });
  watch(stack, id, harm, [
    { kind: 'function-errors', metric: made.metricErrors({ period }), threshold: 1, periods: 3 },
    {
      kind: 'function-throttles',
      metric: made.metricThrottles({ period }),
      threshold: 1,
      periods: 5,
    },
    {
      kind: 'function-duration',
      metric: duration,
      threshold: timeout.toMilliseconds() * (worksToTheEnd ? 0.97 : 0.8),
      periods: 3,
    },
  ]);
  stack.watched.functions.push({ id, made });
}

/**
 * The alarms that turn a deploy back. Errors are those of the new version, which Lambda counts apart only while traffic
 * is shifted: what already failed before a deploy must not block the deploy that repairs it.
 * https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
 */
export function watchRelease(
  stack: Domain,
  id: string,
  { made, live, newest }: { made: Lambda; live: Alias; newest: IVersion },
  consumes: boolean,
): Alarm[] {
  const errors = live.metricErrors({
    period,
    dimensionsMap: {
      FunctionName: made.functionName,
      Resource: `${made.functionName}:${live.aliasName}`,
      ExecutedVersion: newest.version,
    },
  });
  const givenUp = new Metric({
    namespace: 'signalbox',
    metricName: 'given-up' satisfies OutcomeWord,
    dimensionsMap: { service: id },
    statistic: 'sum',
    period,
  });
  const harm = 'The new version fails; the deploy is turned back by itself.';
  return watch(stack, id, harm, [
    { kind: 'release-errors', metric: errors, threshold: 1 },
    ...(consumes ? [{ kind: 'release-given-up', metric: givenUp, threshold: 1 }] : []),
  ]);
}

/** What a function measures itself (`measured` of its outcome), under the service of its id. */
export interface Measure {
  readonly kind: string;
  readonly name: string;
  /** Seconds, or rows if the name begins with `rows`. */
  readonly threshold: number;
  /** Long enough to contain a measurement: the alarm treats missing data as good. */
  readonly period: Duration;
}

export function watchMeasures(
  stack: Domain,
  id: string,
  harm: string,
  measures: readonly Measure[],
): void {
  const watches = measures.map(({ kind, name, threshold, period: every }) => ({
    kind,
    metric: new Metric({
      namespace: 'signalbox',
      metricName: name,
      dimensionsMap: { service: id },
      statistic: 'max',
      period: every,
    }),
    threshold,
  }));
  watch(stack, id, harm, watches);
}

export function watchQueue(
  stack: Domain,
  id: string,
  harm: string,
  queue: SqsQueue,
  dead: SqsQueue,
): void {
  const age = queue.metricApproximateAgeOfOldestMessage({ period });
  const letters = dead.metricApproximateNumberOfMessagesVisible({ period });
  watch(stack, id, harm, [
    { kind: 'queue-age', metric: age, threshold: 300, periods: 3 },
    { kind: 'dead-letters', metric: letters, threshold: 1 },
  ]);
  stack.watched.queues.push({ id, queue, dead });
}

/** An alarm for one of a function's outcomes. */
export function watchOutcome(
  stack: Domain,
  id: string,
  { kind, outcome, harm }: { kind: string; outcome: OutcomeWord; harm: string },
): void {
  const metric = new Metric({
    namespace: 'signalbox',
    metricName: outcome,
    dimensionsMap: { service: id },
    statistic: 'sum',
    period,
  });
  watch(stack, id, harm, [{ kind, metric, threshold: 1 }]);
}

function watch(stack: Domain, id: string, harm: string, watches: readonly Watch[]): Alarm[] {
  const made = watches.map((each) => alarm(stack, stack.backing.alarms, id, harm, each));
  stack.watched.alarms.push(...made);
  return made;
}

/** Creates an alarm that notifies the topic when it starts and when it ends. */
export function alarm(
  scope: Construct,
  topic: ITopic,
  id: string,
  harm: string,
  { kind, metric, threshold, periods = 1 }: Watch,
): Alarm {
  const made = new Alarm(scope, `${id}/${kind}`, {
    alarmName: `${resourceName(id)}-${kind}`,
    alarmDescription: `${harm} (${id}) → docs/runbooks/${kind}.md`,
    metric,
    threshold,
    evaluationPeriods: periods,
    comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    treatMissingData: TreatMissingData.NOT_BREACHING,
  });
  made.addAlarmAction(new SnsAction(topic));
  made.addOkAction(new SnsAction(topic));
  return made;
}
