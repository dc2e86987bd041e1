/** The only `*` in IAM policies, each with its reason. */
import { Validations } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';

/** Actions that AWS cannot scope to a resource, each with its reason: the only `*` in any role. */
const unscoped = {
  'ec2:CreateNetworkInterface':
    'Lambda attaches a function to its subnets; the interface has no name before it exists.',
  'ec2:DescribeNetworkInterfaces': 'EC2 knows no resource-level permission for it.',
  'ec2:DeleteNetworkInterface': 'The interfaces are named by Lambda.',
  'xray:PutTraceSegments': 'X-Ray knows no resource-level permission for it.',
  'xray:PutTelemetryRecords': 'X-Ray knows no resource-level permission for it.',
  'cloudwatch:DescribeAlarms': 'CodeDeploy lists alarms before it picks those of the release.',
} as const;
type Unscoped = keyof typeof unscoped;

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions */
export const networkCalls = Object.keys(unscoped).filter((call) =>
  call.startsWith('ec2:'),
) as Unscoped[];
/** Added by CDK itself where tracing is on. */
export const traceCalls = Object.keys(unscoped).filter((call) =>
  call.startsWith('xray:'),
) as Unscoped[];

export const unscopedStatement = (calls: readonly Unscoped[]): PolicyStatement =>
  new PolicyStatement({ actions: [...calls], resources: ['*'] });

/** Tells cdk-nag why a construct holds these calls with `*`. */
export function acknowledge(construct: Construct, calls: readonly Unscoped[]): void {
  if (!calls.length) return;
  const reason = calls.map((call) => `${call}: ${unscoped[call]}`).join(' ');
  Validations.of(construct).acknowledge({ id: 'AwsSolutions-IAM5[Resource::*]', reason });
}

/** CodeDeploy reads the alarms that roll a release back. */
export const deployCalls = ['cloudwatch:DescribeAlarms'] as const satisfies Unscoped[];
