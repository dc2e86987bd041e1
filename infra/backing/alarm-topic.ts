/** The SNS topic of all alarms, and who may publish to it. */
import { ArnFormat, type Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Context } from '../constructs/context.ts';

/** The topic that every alarm publishes to. */
export function alarmTopic(stack: Stack, { alarmEmail }: Context): Topic {
  const topic = new Topic(stack, 'alarms', { topicName: 'signalbox-alarms', enforceSSL: true });
  topic.addToResourcePolicy(fromAlarms(stack, topic));
  if (alarmEmail) topic.addSubscription(new EmailSubscription(alarmEmail));
  return topic;
}

/**
 * Lets the alarms of this account publish. A topic with any policy of its own (`enforceSSL` gives it one) loses SNS's
 * default policy, which allowed it.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
 */
const fromAlarms = (stack: Stack, { topicArn }: Topic): PolicyStatement =>
  new PolicyStatement({
    sid: 'AllowAlarms',
    principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
    actions: ['sns:Publish'],
    resources: [topicArn],
    conditions: {
      StringEquals: { 'aws:SourceAccount': stack.account },
      ArnLike: {
        'aws:SourceArn': stack.formatArn({
          service: 'cloudwatch',
          resource: 'alarm',
          resourceName: '*',
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        }),
      },
    },
  });
