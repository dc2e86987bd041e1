/** Lists the IAM permissions that `npm run ops -- … --cloud` needs. */
interface Permission {
  /** The IAM actions; some have another name than the SDK command. */
  readonly actions: readonly string[];
  readonly resource: string;
}

const queues = 'arn:aws:sqs:<region>:<account>:signalbox-*';
const functions = 'arn:aws:lambda:<region>:<account>:function:signalbox-*';

/**
 * Permissions that the person's own AWS identity needs for `--cloud`, by SDK command. The resource is `*` if AWS has no
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
