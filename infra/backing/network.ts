/** The VPC: given or created, with one NAT gateway. */
import { Duration, RemovalPolicy, type Stack } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import {
  CfnEIP,
  FlowLogDestination,
  GatewayVpcEndpointAwsService,
  type ISecurityGroup,
  type IVpc,
  NatProvider,
  SecurityGroup,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { alarm } from '../constructs/alarms.ts';
import type { Context } from '../constructs/context.ts';
import type { Network } from '../constructs/synthesis.ts';

/** The network of the functions; `address` is what partners see, if the NAT gateway is ours. */
export interface Inside extends Network {
  readonly address?: string;
  /** The databases' subnets; isolated if the network is ours. */
  readonly data: { readonly subnetType?: SubnetType };
}

/** The VPC that the context names, or a new one. */
export function network(stack: Stack, context: Context, alarms: ITopic): Inside {
  if (context.vpc) return given(stack, context);
  const made = ours(stack, context, alarms);
  const securityGroup: ISecurityGroup = new SecurityGroup(stack, 'functions', {
    vpc: made.vpc,
    description: 'Functions of Signalbox',
  });
  return { ...made, securityGroup, data: { subnetType: SubnetType.PRIVATE_ISOLATED } };
}

function given(
  stack: Stack,
  { vpc = '', vpcZones = [], vpcSubnets = [], vpcSecurityGroup = '' }: Context,
): Inside {
  return {
    vpc: Vpc.fromVpcAttributes(stack, 'network', {
      vpcId: vpc,
      availabilityZones: vpcZones,
      privateSubnetIds: vpcSubnets,
    }),
    securityGroup: SecurityGroup.fromSecurityGroupId(stack, 'functions', vpcSecurityGroup),
    data: {},
  };
}

/** Everything leaves through one NAT gateway whose address stays (docs/decisions/0011-network.md). */
function ours(
  stack: Stack,
  { addressAllocation }: Context,
  alarms: ITopic,
): { vpc: IVpc; address?: string } {
  const address = addressAllocation ? undefined : fixedAddress(stack);
  const gateways = NatProvider.gateway({
    eipAllocationIds: [address?.attrAllocationId ?? addressAllocation ?? ''],
  });
  const vpc = new Vpc(stack, 'network', {
    maxAzs: 2,
    natGateways: 1,
    natGatewayProvider: gateways,
    subnetConfiguration: [
      { name: 'public', subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false },
      { name: 'functions', subnetType: SubnetType.PRIVATE_WITH_EGRESS },
      { name: 'data', subnetType: SubnetType.PRIVATE_ISOLATED },
    ],
    gatewayEndpoints: { s3: { service: GatewayVpcEndpointAwsService.S3 } },
  });
  const logGroup = new LogGroup(stack, 'network/flow', {
    retention: RetentionDays.ONE_WEEK,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  vpc.addFlowLog('flow', { destination: FlowLogDestination.toCloudWatchLogs(logGroup) });
  for (const { gatewayId } of gateways.configuredGateways) {
    const harm = 'Calls to partners and to AWS itself are refused before they leave.';
    alarm(stack, alarms, 'backing/network', harm, {
      kind: 'nat-ports',
      metric: new Metric({
        namespace: 'AWS/NATGateway',
        metricName: 'ErrorPortAllocation',
        dimensionsMap: { NatGatewayId: gatewayId },
        statistic: 'sum',
        period: Duration.minutes(1),
      }),
      threshold: 1,
      periods: 3,
    });
  }
  return { vpc: vpc as IVpc, ...(address && { address: address.ref }) };
}

/** Kept when the stack is deleted, because WeChat's white list names it. */
function fixedAddress(stack: Stack): CfnEIP {
  const address = new CfnEIP(stack, 'network/address', {
    domain: 'vpc',
    tags: [{ key: 'Name', value: 'signalbox' }],
  });
  address.applyRemovalPolicy(RemovalPolicy.RETAIN);
  return address;
}
