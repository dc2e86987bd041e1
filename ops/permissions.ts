interface Permission {
  /** What an IAM policy must allow; IAM names some actions otherwise than the SDK names the command. */
  readonly actions: readonly string[];
  readonly resource: string;
}

const queues = 'arn:aws:sqs:<region>:<account>:signalbox-*';
const functions = 'arn:aws:lambda:<region>:<account>:function:signalbox-*';

/**
 * What the person's own AWS identity needs for `--cloud`, by the SDK command that needs it. `*` stands where AWS knows no
 * permission for a single resource.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
 */
export const permissions = {
  ListQueuesCommand: { actions: ['sqs:ListQueues'], resource: '*' },
  GetMetricDataCommand: { actions: ['cloudwatch:GetMetricData'], resource: '*' },
  GetQueueAttributesCommand: { actions: ['sqs:GetQueueAttributes'], resource: queues },
  ReceiveMessageCommand: { actions: ['sqs:ReceiveMessage'], resource: queues },
  SendMessageBatchCommand: { actions: ['sqs:SendMessage'], resource: queues },
  DeleteMessageBatchCommand: { actions: ['sqs:DeleteMessage'], resource: queues },
  ChangeMessageVisibilityBatchCommand: {
    actions: ['sqs:ChangeMessageVisibility'],
    resource: queues,
  },
  // Lambda answers without a function's tags unless `lambda:ListTags` is allowed.
  GetFunctionCommand: { actions: ['lambda:GetFunction', 'lambda:ListTags'], resource: functions },
  InvokeCommand: { actions: ['lambda:InvokeFunction'], resource: functions },
} as const satisfies Readonly<Record<string, Permission>>;
