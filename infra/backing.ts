import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type App, CfnOutput, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { AccessLogField, AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  HttpApi,
  HttpStage,
  type IHttpApi,
  LogGroupLogDestination,
} from 'aws-cdk-lib/aws-apigatewayv2';
import {
  FlowLogDestination,
  type ISecurityGroup,
  type IVpc,
  Port,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { EventBus, type IEventBus } from 'aws-cdk-lib/aws-events';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import {
  AuroraMysqlEngineVersion,
  ClusterInstance,
  Credentials,
  DatabaseCluster,
  DatabaseClusterEngine,
  ParameterGroup,
} from 'aws-cdk-lib/aws-rds';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { ZodType } from 'zod';
import { BrokerSettings } from '../lib/broker/settings.ts';
import { PlatformSettings } from '../lib/platform/settings.ts';
import { settingsName } from './constructs/names.ts';
import { type Backing, connectionsMax, type Site } from './constructs/site.ts';

/** The configuration documents and what each must look like: checked here, at synth, and by each function. */
const documents: Record<string, ZodType> = { broker: BrokerSettings, platform: PlatformSettings };

/** What lies under the domains. On one machine local/ runs the servers, and only topic and parameters are made. */
export function backing(app: App, site: Site): Backing {
  const stack = new Stack(app, 'backing', {
    stackName: 'signalbox-backing',
    description: 'Signalbox: backing',
  });
  const alarms = new Topic(stack, 'alarms', { topicName: 'signalbox-alarms', enforceSSL: true });
  if (site.context.alarmEmail)
    alarms.addSubscription(new EmailSubscription(site.context.alarmEmail));
  for (const [domain, text] of settings())
    new StringParameter(stack, `settings/${domain}`, {
      parameterName: settingsName(site.context.stage, domain),
      stringValue: text,
    });
  const bus = new EventBus(stack, 'bus', { eventBusName: 'signalbox' }) as IEventBus;
  const api = httpApi(stack);
  if (site.local) return { alarms, bus, api };

  const vpc = network(stack);
  const securityGroup = new SecurityGroup(stack, 'functions', {
    vpc,
    description: 'Functions of Signalbox',
  });
  database(stack, vpc, securityGroup);
  return { alarms, bus, api, network: { vpc, securityGroup } };
}

const folder = fileURLToPath(new URL('../config/', import.meta.url));

function settings(): [domain: string, text: string][] {
  return globSync('*.json', { cwd: folder }).map((file) => {
    const domain = basename(file, '.json');
    const schema = documents[domain];
    if (!schema) throw new Error(`config/${file} has no schema: name one in infra/backing.ts.`);
    const document: unknown = JSON.parse(readFileSync(folder + file, 'utf8'));
    const { error } = schema.safeParse(document);
    if (error) throw new Error(`config/${file} is not valid: ${error.message}`);
    return [domain, JSON.stringify(document)];
  });
}

/** Requests a second over all routes, and as many at one moment; each caller has a limit of his own. */
const requestThrottle = { rateLimit: 500, burstLimit: 1_000 };

/** The one HTTP API. Its log names routes, not paths: a path may hold what is personal. */
function httpApi(stack: Stack): IHttpApi {
  const api = new HttpApi(stack, 'api', { apiName: 'signalbox', createDefaultStage: false });
  const logGroup = new LogGroup(stack, 'api/log', {
    logGroupName: '/aws/vendedlogs/signalbox/api', // The prefix under which API Gateway needs no policy of its own.
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const line = {
    requestId: AccessLogField.contextRequestId(),
    ip: AccessLogField.contextIdentitySourceIp(),
    route: AccessLogField.contextRouteKey(),
    status: AccessLogField.contextStatus(),
    latencyMs: AccessLogField.contextResponseLatency(),
    error: AccessLogField.contextIntegrationErrorMessage(),
  };
  new HttpStage(stack, 'api/stage', {
    httpApi: api,
    autoDeploy: true,
    throttle: requestThrottle,
    accessLogSettings: {
      destination: new LogGroupLogDestination(logGroup),
      format: AccessLogFormat.custom(JSON.stringify(line)),
    },
  });
  new CfnOutput(stack, 'api/address', { key: 'apiAddress', value: api.apiEndpoint });
  return api as IHttpApi;
}

/** Functions reach partners through one NAT gateway. */
function network(stack: Stack): IVpc {
  const vpc = new Vpc(stack, 'network', {
    maxAzs: 2,
    natGateways: 1,
    subnetConfiguration: [
      { name: 'public', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false },
      { name: 'functions', subnetType: SubnetType.PRIVATE_WITH_EGRESS },
      { name: 'data', subnetType: SubnetType.PRIVATE_ISOLATED },
    ],
  });
  const logGroup = new LogGroup(stack, 'network/flow', {
    retention: RetentionDays.ONE_WEEK,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  vpc.addFlowLog('flow', { destination: FlowLogDestination.toCloudWatchLogs(logGroup) });
  return vpc as IVpc;
}

/** Aurora MySQL for our own schemas, with a binlog that can be read. */
function database(stack: Stack, vpc: IVpc, functions: ISecurityGroup): void {
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
    parameterGroup: new ParameterGroup(stack, 'mysql/parameters', {
      engine,
      parameters: {
        binlog_format: 'ROW',
        binlog_row_image: 'FULL',
        binlog_row_metadata: 'FULL',
        max_connections: String(connectionsMax),
        require_secure_transport: 'ON',
        time_zone: 'Asia/Shanghai',
      },
    }),
    vpc,
    vpcSubnets: { subnetType: SubnetType.PRIVATE_ISOLATED },
    writer: ClusterInstance.serverlessV2('writer'),
    readers: [ClusterInstance.serverlessV2('reader', { scaleWithWriter: true })],
    serverlessV2MinCapacity: 0.5,
    serverlessV2MaxCapacity: 8,
    credentials: Credentials.fromGeneratedSecret('signalbox', {
      secretName: 'signalbox/cloud/mysql',
    }),
    storageEncrypted: true,
    iamAuthentication: true,
    deletionProtection: true,
    backup: { retention: Duration.days(14) },
    cloudwatchLogsExports: logs,
  });
  cluster.addRotationSingleUser();
  cluster.connections.allowFrom(functions, Port.tcp(3306));
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
}

const clusterIdentifier = 'signalbox';
