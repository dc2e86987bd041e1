import { type CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';

/** SQS reports a figure each minute, and some minutes late. */
const lookBackMs = 15 * 60_000;
const queriesMax = 500;

/**
 * How old the oldest message of each queue is, in seconds, by its name: SQS has no attribute for it, only a metric.
 * Queues without a figure are missing: empty ones that nobody has used for hours, and all on the AWS emulator.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
 */
export async function agesOf(
  metrics: CloudWatchClient,
  queueNames: readonly string[],
  now: number,
): Promise<Map<string, number>> {
  if (!queueNames.length) return new Map();
  const { MetricDataResults = [] } = await metrics.send(
    new GetMetricDataCommand({
      StartTime: new Date(now - lookBackMs),
      EndTime: new Date(now + 60_000),
      ScanBy: 'TimestampDescending',
      MetricDataQueries: queueNames.slice(0, queriesMax).map((Value, index) => ({
        Id: `q${index}`,
        MetricStat: {
          Metric: {
            Namespace: 'AWS/SQS',
            MetricName: 'ApproximateAgeOfOldestMessage',
            Dimensions: [{ Name: 'QueueName', Value }],
          },
          Period: 60,
          Stat: 'Maximum',
        },
      })),
    }),
  );
  return new Map(
    MetricDataResults.flatMap(({ Id = '', Values }) => {
      const name = queueNames[Number(Id.slice(1))];
      const [age] = Values ?? [];
      return name !== undefined && age !== undefined ? [[name, age] as const] : [];
    }),
  );
}
