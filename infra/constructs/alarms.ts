import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { Function as Lambda } from 'aws-cdk-lib/aws-lambda';
import type { Queue as SqsQueue } from 'aws-cdk-lib/aws-sqs';
import { resourceName } from '../../lib/platform/names.ts';
import type { Domain } from './site.ts';

/** Each alarm is explained in docs/runbooks/<kind>.md. */
type Kind =
  | 'function-errors'
  | 'function-throttles'
  | 'function-duration'
  | 'queue-age'
  | 'dead-letters';

interface Watch {
  readonly kind: Kind;
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
  timeout: Duration,
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
      threshold: timeout.toMilliseconds() * 0.8,
      periods: 3,
    },
  ]);
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
}

function watch(stack: Domain, id: string, harm: string, watches: readonly Watch[]): void {
  for (const { kind, metric, threshold, periods = 1 } of watches) {
    const alarm = new Alarm(stack, `${id}/${kind}`, {
      alarmName: `${resourceName(id)}-${kind}`,
      alarmDescription: `${harm} (${id}) → docs/runbooks/${kind}.md`,
      metric,
      threshold,
      evaluationPeriods: periods,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(stack.backing.alarms));
    alarm.addOkAction(new SnsAction(stack.backing.alarms));
  }
}
