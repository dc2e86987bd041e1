/** The MySQL server of our own schemas: given or created. */
import { Duration, RemovalPolicy, type Stack, Validations } from 'aws-cdk-lib';
import { MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import { Port, SecurityGroup, SubnetType } from 'aws-cdk-lib/aws-ec2';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import {
  AuroraMysqlEngineVersion,
  ClusterInstance,
  Credentials,
  DatabaseCluster,
  DatabaseClusterEngine,
  ParameterGroup,
} from 'aws-cdk-lib/aws-rds';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { alarm } from '../constructs/alarms.ts';
import { connectionsMax } from '../constructs/connections.ts';
import type { Context } from '../constructs/context.ts';
import { secretId } from '../constructs/secrets.ts';
import type { Inside } from './network.ts';

const clusterIdentifier = 'signalbox';
const port = Port.tcp(3306);
const period = Duration.minutes(1);

/** The MySQL server of our own schemas: the one that the context names, or an Aurora cluster that is created. */
export function database(stack: Stack, context: Context, inside: Inside, alarms: ITopic): void {
  const { mysqlSecurityGroup } = context;
  if (mysqlSecurityGroup) {
    const server = SecurityGroup.fromSecurityGroupId(stack, 'mysql', mysqlSecurityGroup);
    server.connections.allowFrom(inside.securityGroup, port);
    return;
  }
  const cluster = aurora(stack, context, inside);
  cluster.connections.allowFrom(inside.securityGroup, port);
  watch(stack, cluster, alarms);
}

/** Aurora MySQL Serverless with row binlog; `platform/migrate` sets its retention. */
function aurora(stack: Stack, { stage }: Context, { vpc, data }: Inside): DatabaseCluster {
  const engine = DatabaseClusterEngine.auroraMysql({
    version: AuroraMysqlEngineVersion.VER_3_10_0,
  });
  const logs = ['error', 'slowquery'];
  for (const log of logs)
    new LogGroup(stack, `mysql/${log}`, {
      logGroupName: `/aws/rds/cluster/${clusterIdentifier}/${log}`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
  const cluster = new DatabaseCluster(stack, 'mysql', {
    engine,
    clusterIdentifier,
    parameterGroup: new ParameterGroup(stack, 'mysql/parameters', { engine, parameters }),
    vpc,
    vpcSubnets: data,
    writer: ClusterInstance.serverlessV2('writer'),
    readers: [ClusterInstance.serverlessV2('reader', { scaleWithWriter: true })],
    serverlessV2MinCapacity: 0.5,
    serverlessV2MaxCapacity: 8,
    credentials: Credentials.fromGeneratedSecret('signalbox', {
      secretName: secretId(stage, 'mysql'),
    }),
    storageEncrypted: true,
    iamAuthentication: true,
    deletionProtection: true,
    backup: { retention: Duration.days(14) },
    cloudwatchLogsExports: logs,
  });
  // In the functions' subnets, because rotation must reach Secrets Manager through the NAT gateway.
  cluster.addRotationSingleUser({
    vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
  });
  Validations.of(cluster).acknowledge(
    {
      id: 'AwsSolutions-RDS11',
      reason: 'Only the functions’ security group reaches the port; its number protects nothing.',
    },
    {
      id: 'AwsSolutions-RDS14',
      reason: 'Serverless v2 has no backtrack; backups reach back 14 days to the second.',
    },
  );
  return cluster;
}

const parameters = {
  binlog_format: 'ROW',
  binlog_row_image: 'FULL',
  binlog_row_metadata: 'FULL',
  max_connections: String(connectionsMax),
  require_secure_transport: 'ON',
  time_zone: 'Asia/Shanghai',
};

function watch(stack: Stack, cluster: DatabaseCluster, alarms: ITopic): void {
  const id = 'backing/mysql';
  const harm = 'Every domain becomes slow together; messages wait.';
  const connections = cluster.metricDatabaseConnections({ period, statistic: 'max' });
  alarm(stack, alarms, id, harm, {
    kind: 'database-connections',
    metric: new MathExpression({
      expression: `100 * connections / ${connectionsMax}`,
      usingMetrics: { connections },
      label: 'Per cent of the connections',
      period,
    }),
    threshold: 80,
    periods: 5,
  });
  alarm(stack, alarms, id, harm, {
    kind: 'database-capacity',
    metric: cluster.metricACUUtilization({ period, statistic: 'max' }),
    threshold: 90,
    periods: 10,
  });
}
