/** The OpenSearch domain: given or created. */
import { ArnFormat, Duration, RemovalPolicy, type Stack, Validations } from 'aws-cdk-lib';
import { MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import { EbsDeviceVolumeType, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup, ResourcePolicy, RetentionDays } from 'aws-cdk-lib/aws-logs';
import {
  type CfnDomain,
  EngineVersion,
  Domain as OpenSearch,
  TLSSecurityPolicy,
} from 'aws-cdk-lib/aws-opensearchservice';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { alarm } from '../constructs/alarms.ts';
import type { Context } from '../constructs/context.ts';
import { secretId } from '../constructs/secrets.ts';
import type { Inside } from './network.ts';

const domainName = 'signalbox';
const dataNodes = 2;
const gigabytesPerNode = 20;
const period = Duration.minutes(1);

/** The address of OpenSearch: that of the domain that is named in context, or of one that is made. */
export function search(stack: Stack, context: Context, inside: Inside, alarms: ITopic): string {
  if (context.opensearchUrl) return context.opensearchUrl;
  const domain = made(stack, context, inside);
  watch(stack, domain, alarms);
  return `https://${domain.domainEndpoint}`;
}

/** A domain of two nodes in two zones, reached from the functions only, with one user of its own. */
function made(stack: Stack, { stage }: Context, inside: Inside): OpenSearch {
  const { vpc, data, securityGroup } = inside;
  const ownGroup = new SecurityGroup(stack, 'search/group', {
    vpc,
    description: 'OpenSearch of Signalbox',
    allowAllOutbound: false,
  });
  ownGroup.connections.allowFrom(securityGroup, Port.tcp(443));
  const username = 'signalbox';
  const user = new Secret(stack, 'search/user', {
    secretName: secretId(stage, 'opensearch'),
    generateSecretString: {
      secretStringTemplate: JSON.stringify({ username }),
      generateStringKey: 'password',
      passwordLength: 32,
    },
  });
  const domain = new OpenSearch(stack, 'search', {
    domainName,
    version: EngineVersion.OPENSEARCH_2_19,
    vpc,
    vpcSubnets: [{ subnets: vpc.selectSubnets(data).subnets.slice(0, dataNodes) }],
    securityGroups: [ownGroup],
    capacity: {
      dataNodes,
      dataNodeInstanceType: 't3.small.search',
      multiAzWithStandbyEnabled: false,
    },
    zoneAwareness: { availabilityZoneCount: dataNodes },
    ebs: { volumeSize: gigabytesPerNode, volumeType: EbsDeviceVolumeType.GP3 },
    enforceHttps: true,
    tlsSecurityPolicy: TLSSecurityPolicy.TLS_1_2_PFS,
    nodeToNodeEncryption: true,
    encryptionAtRest: { enabled: true },
    fineGrainedAccessControl: {
      masterUserName: username,
      masterUserPassword: user.secretValueFromJson('password'),
    },
    logging: {
      slowSearchLogEnabled: true,
      slowSearchLogGroup: log(stack, 'slow-searches'),
      slowIndexLogEnabled: true,
      slowIndexLogGroup: log(stack, 'slow-indexing'),
      appLogEnabled: true,
      appLogGroup: log(stack, 'errors'),
    },
    suppressLogsResourcePolicy: true,
    enableAutoSoftwareUpdate: true,
    removalPolicy: RemovalPolicy.RETAIN,
  });
  domain.node.addDependency(logPolicy(stack));
  openToUsers(stack, domain);
  Validations.of(domain).acknowledge(
    {
      id: 'AwsSolutions-OS3',
      reason:
        'It has no address outside the VPC, and only the functions’ security group reaches it.',
    },
    {
      id: 'AwsSolutions-OS4',
      reason:
        'Three more nodes cost more than the wait for a lost one: messages wait, MySQL holds the truth.',
    },
    {
      id: 'AwsSolutions-OS5',
      reason:
        'The domain itself asks for user and password; unsigned requests need no AWS signer in bundles.',
    },
  );
  Validations.of(user).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason:
      'The password is also kept in the domain’s own user database, which no rotation reaches.',
  });
  return domain;
}

const logsOf = (name: string) => `/signalbox/backing/search/${name}`;

const log = (stack: Stack, name: string): LogGroup =>
  new LogGroup(stack, `search/${name}`, {
    logGroupName: logsOf(name),
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });

/** CDK would write this by a custom resource with wide rights of its own. */
const logPolicy = (stack: Stack): ResourcePolicy =>
  new ResourcePolicy(stack, 'search/logs', {
    resourcePolicyName: 'signalbox-search',
    policyStatements: [
      new PolicyStatement({
        principals: [new ServicePrincipal('es.amazonaws.com')],
        actions: ['logs:PutLogEvents', 'logs:CreateLogStream'],
        resources: [
          stack.formatArn({
            service: 'logs',
            resource: 'log-group',
            resourceName: `${logsOf('*').slice(0, -1)}*`,
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ],
      }),
    ],
  });

/** The domain authenticates users itself; an AWS policy would be evaluated first and require signed requests. */
function openToUsers(stack: Stack, domain: OpenSearch): void {
  const statement = new PolicyStatement({
    principals: [new AnyPrincipal()],
    actions: ['es:ESHttp*'],
    resources: [
      stack.formatArn({ service: 'es', resource: 'domain', resourceName: `${domainName}/*` }),
    ],
  });
  const document = { Version: '2012-10-17', Statement: [statement.toStatementJson()] };
  (domain.node.defaultChild as CfnDomain).accessPolicies = document;
}

function watch(stack: Stack, domain: OpenSearch, alarms: ITopic): void {
  const id = 'backing/search';
  const red = domain.metricClusterStatusRed({ period });
  const blocked = domain.metricClusterIndexWritesBlocked({ period });
  alarm(stack, alarms, id, 'Searches lack results, or changes do not reach the index; they wait.', {
    kind: 'search-health',
    metric: new MathExpression({
      expression: 'FILL(red, 0) + FILL(blocked, 0)',
      usingMetrics: { red, blocked },
      label: 'Red or blocked',
      period,
    }),
    threshold: 1,
    periods: 3,
  });
  const free = domain.metricFreeStorageSpace({ period, statistic: 'min' });
  alarm(stack, alarms, id, 'When it is full, changes no longer reach the index; they wait.', {
    kind: 'search-storage',
    metric: new MathExpression({
      expression: `100 * (1 - free / ${gigabytesPerNode * 1024})`,
      usingMetrics: { free },
      label: 'Per cent of the fullest node',
      period,
    }),
    threshold: 75,
    periods: 3,
  });
}
