/** What a stack watches. */
import type { Alarm } from 'aws-cdk-lib/aws-cloudwatch';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';

/** The watched resources of one stack: filled by alarms.ts, shown by dashboards.ts. */
export interface Watched {
  readonly functions: { readonly id: string; readonly made: IFunction }[];
  readonly queues: { readonly id: string; readonly queue: IQueue; readonly dead: IQueue }[];
  readonly alarms: Alarm[];
}
