/** Reads the age of each queue's oldest message from CloudWatch. */
import { type CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';

/** SQS reports one value each minute, a few minutes late. */
const lookBackMs = 15 * 60_000;
const queriesMax = 500;

/**
 * Returns the age of each queue's oldest message in seconds, by queue name: SQS has no attribute for it, only a metric.
 * Queues without a value are missing: those that were empty and unused for hours, and all on the AWS emulator.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
 */
export async function readQueueAges(
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
