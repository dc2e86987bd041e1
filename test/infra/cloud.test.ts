import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, CfnResource, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { describe, expect, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { functionIds } from '../../infra/constructs/bundle.ts';
import { connectionsMax } from '../../infra/constructs/connections.ts';
import { contextKeys, contextOf } from '../../infra/constructs/context.ts';
import { secretId, secrets } from '../../infra/constructs/secrets.ts';
import { resourceName, startedTag } from '../../lib/platform/names.ts';
import { root } from '../../local/root.ts';
import { findingsIn } from '../support/cdk-nag-findings.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';
import { sites } from '../support/synthesis-contexts.ts';

interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template's properties have no type.
  readonly Properties: any;
  readonly DeletionPolicy?: string;
  // biome-ignore lint/suspicious/noExplicitAny: nor have its policies.
  readonly UpdatePolicy?: any;
}
type Named = Resource & { readonly logicalId: string };

/**
 * The contexts that CDK's own rules check, which takes most of a synthesis; AwsSolutions looks at all contexts. Each
 * resource is in one of these: `cloud` makes all that can be made, the VPC with its NAT gateway and flow log, the
 * address, Aurora and OpenSearch. `local` differs most from it: without aliases, triggers and their permissions belong
 * to the functions themselves. With `all of them` an existing MySQL lets the functions in, by a rule that belongs to no
 * cluster of ours.
 */
const checkedSites = ['local', 'cloud', 'cloud with all of them'] as const;
const isChecked = (name: string) => checkedSites.some((one) => one === name);
const siteNames = Object.keys(sites) as (keyof typeof sites)[];

const made = new Map<string, ReturnType<typeof synthesise>>();

/** What the stacks of a synthesis hold, by the stack's name. Each is made once. */
function synthesised(name: keyof typeof sites) {
  const known = made.get(name) ?? synthesise(name);
  made.set(name, known);
  return known;
}

function synthesise(name: keyof typeof sites, more: Record<string, string> = {}) {
  const checked = isChecked(name) && !Object.keys(more).length;
  const outdir = ['cloud', name, ...Object.values(more)].join('-');
  const app = signalbox(appNamed(outdir, { ...sites[name], ...more }, { checked }), emptyBundles());
  const findings = Object.keys(more).length ? undefined : findingsIn(app);
  const stacks = app.node.children.filter((child): child is Stack => 'templateFile' in child);
  const templates = new Map(stacks.map((stack) => [stack.node.id, Template.fromStack(stack)]));
  const manifest = app.synth();
  const resources = (stack: string, type: string): Named[] =>
    Object.entries(
      (templates.get(stack)?.toJSON()['Resources'] ?? {}) as Record<string, Resource>,
    ).flatMap(([logicalId, resource]) =>
      resource.Type === type ? [{ logicalId, ...resource }] : [],
    );
  const outputs = templates.get('backing')?.toJSON()['Outputs'] as Record<
    string,
    { Value: unknown }
  >;
  const domains = [...templates.keys()].filter((stack) => stack !== 'backing');
  const constructs = app.node
    .findAll()
    .flatMap((one) =>
      CfnResource.isCfnResource(one) ? [[one.cfnResourceType, one.node.path]] : [],
    );
  return { resources, outputs, domains, manifest, findings, constructs };
}

const only = <Value>(values: readonly Value[]): Value => {
  const [value] = values;
  if (values.length !== 1 || value === undefined)
    throw new Error(`One was expected; there are ${values.length}.`);
  return value;
};
const domainOf = (id: string) => id.slice(0, id.indexOf('/'));
const refersTo = (value: unknown, logicalId: string) =>
  JSON.stringify(value).includes(`"${logicalId}"`);

test.each(siteNames)('AwsSolutions finds nothing in %s', (name) => {
  expect(synthesised(name).findings).toEqual([]);
});

test('every resource of every context is in one that AwsSolutions checks, under the same type and path', () => {
  const constructsOf = (names: readonly (keyof typeof sites)[]) =>
    new Set(names.flatMap((name) => synthesised(name).constructs.map((one) => one.join(' '))));
  const checked = constructsOf(checkedSites);
  expect(checked.size).toBeGreaterThan(500);
  expect(constructsOf(siteNames).difference(checked)).toEqual(new Set());
});

test('AwsSolutions is really asked: a bare queue is found', () => {
  const app = appNamed('cloud-planted', {}, { checked: true });
  new Queue(new Stack(app, 'planted'), 'bare');
  expect(findingsIn(app).map(([rule]) => rule)).toContain('AwsSolutions-SQS4');
});

describe('a release in the cloud', () => {
  const { resources, domains } = synthesised('cloud');
  const all = (type: string) => domains.flatMap((domain) => resources(domain, type));
  const aliases = all('AWS::Lambda::Alias');
  const started = all('AWS::Lambda::Function').flatMap(({ Properties }) =>
    JSON.stringify(Properties.Tags ?? []).includes(startedTag) ? [Properties.FunctionName] : [],
  );
  const scheduled = all('AWS::Events::Rule').map(({ Properties }) => Properties.Name);
  const released = functionIds().filter(
    (id) =>
      id !== 'platform/migrate' &&
      (!started.includes(resourceName(id)) || scheduled.includes(resourceName(id))),
  );
  const functionOf = (id: string) =>
    only(
      resources(domainOf(id), 'AWS::Lambda::Function').filter(
        ({ Properties }) => Properties.FunctionName === resourceName(id),
      ),
    ).logicalId;
  const aliasOf = (id: string) =>
    only(aliases.filter(({ Properties }) => refersTo(Properties.FunctionName, functionOf(id))));

  test('every function but what runs at deploys and what people start has the alias live, on a version that stays', () => {
    expect(aliases).toHaveLength(released.length);
    for (const id of released) expect(aliasOf(id).Properties.Name).toBe('live');
    const versions = all('AWS::Lambda::Version');
    expect(versions).toHaveLength(released.length);
    for (const { DeletionPolicy } of versions) expect(DeletionPolicy).toBe('Retain');
  });

  test('every queue, schedule and route starts the alias, never the function itself', () => {
    const isAlias = (target: unknown) =>
      aliases.some(({ logicalId }) => refersTo(target, logicalId));
    const sources = all('AWS::Lambda::EventSourceMapping');
    const rules = all('AWS::Events::Rule').filter(
      ({ Properties }) => Properties.ScheduleExpression,
    );
    expect(sources.length).toBeGreaterThan(0);
    expect(rules.length).toBeGreaterThan(0);
    const routes = all('AWS::ApiGatewayV2::Integration');
    expect(routes.length).toBeGreaterThan(0);
    for (const { Properties } of routes) expect(isAlias(Properties.IntegrationUri)).toBe(true);
    for (const { Properties } of sources) expect(isAlias(Properties.FunctionName)).toBe(true);
    for (const { Properties } of rules)
      for (const { Arn } of Properties.Targets) expect(isAlias(Arn)).toBe(true);
  });

  test.each(released)('%s is turned back by an alarm on the errors of its new version', (id) => {
    const alias = aliasOf(id);
    const { ApplicationName, DeploymentGroupName } = alias.UpdatePolicy.CodeDeployLambdaAliasUpdate;
    const group = only(
      resources(domainOf(id), 'AWS::CodeDeploy::DeploymentGroup').filter(
        ({ logicalId }) => logicalId === DeploymentGroupName.Ref,
      ),
    ).Properties;
    expect(group.ApplicationName).toEqual(ApplicationName);
    expect(group.DeploymentConfigName).toBe('CodeDeployDefault.LambdaLinear10PercentEvery1Minute');
    expect(group.AutoRollbackConfiguration.Enabled).toBe(true);
    expect(group.AutoRollbackConfiguration.Events).toContain('DEPLOYMENT_STOP_ON_ALARM');
    const names = group.AlarmConfiguration.Alarms.map(
      ({ Name }: { Name: { Ref: string } }) => Name,
    );
    const alarms = resources(domainOf(id), 'AWS::CloudWatch::Alarm').filter(({ logicalId }) =>
      names.some(({ Ref }: { Ref: string }) => Ref === logicalId),
    );
    expect(alarms).toHaveLength(names.length);
    const errors = only(
      alarms.filter(({ Properties }) => Properties.AlarmName.endsWith('-release-errors')),
    ).Properties;
    const versionOfAlias = alias.Properties.FunctionVersion;
    expect(errors.MetricName).toBe('Errors');
    expect(errors.Dimensions).toContainEqual({ Name: 'ExecutedVersion', Value: versionOfAlias });
    const consumes = resources(domainOf(id), 'AWS::SQS::Queue').some(
      ({ Properties }) => Properties.QueueName === resourceName(id),
    );
    expect(alarms).toHaveLength(consumes ? 2 : 1);
  });

  test('a release that cannot wait goes out at once', () => {
    const hurried = synthesise('cloud', { rollout: 'at-once' });
    const configs = hurried.domains
      .flatMap((domain) => hurried.resources(domain, 'AWS::CodeDeploy::DeploymentGroup'))
      .map(({ Properties }) => Properties.DeploymentConfigName);
    expect([...new Set(configs)]).toEqual(['CodeDeployDefault.LambdaAllAtOnce']);
  });

  test('on one machine there is nothing of it', () => {
    const local = synthesised('local');
    for (const type of [
      'AWS::Lambda::Alias',
      'AWS::Lambda::Version',
      'AWS::CodeDeploy::Application',
    ])
      expect(local.domains.flatMap((domain) => local.resources(domain, type))).toEqual([]);
  });
});

describe.each(['local', 'cloud'] as const)('dashboards, stage %s', (stage) => {
  const { resources, domains } = synthesised(stage);

  test.each(domains)('that of %s shows every function, queue and alarm of it', (domain) => {
    const { DashboardName, DashboardBody } = only(
      resources(domain, 'AWS::CloudWatch::Dashboard'),
    ).Properties;
    expect(DashboardName).toBe(`signalbox-${domain}`);
    const shown = JSON.stringify(DashboardBody);
    const ofType = (type: string) => resources(domain, type).map(({ logicalId }) => logicalId);
    const named = [
      ...ofType('AWS::Lambda::Function'),
      ...ofType('AWS::SQS::Queue'),
      ...ofType('AWS::CloudWatch::Alarm'),
    ];
    for (const logicalId of named) expect(shown).toContain(`"${logicalId}"`);
    for (const id of functionIds().filter((each) => domainOf(each) === domain))
      expect(shown).toContain(`{signalbox,service} service=\\\\\\"${id}\\\\\\"`);
  });
});

describe('what lies under the domains', () => {
  const { resources, outputs } = synthesised('cloud');
  const backing = (type: string) => resources('backing', type);
  const property = (type: string) => only(backing(type)).Properties;

  test('functions run in private subnets, data in subnets without a way out', () => {
    const subnets = new Map(
      backing('AWS::EC2::Subnet').map(({ logicalId, Properties }) => [
        logicalId,
        Properties.Tags.find(({ Key }: { Key: string }) => Key === 'aws-cdk:subnet-type').Value,
      ]),
    );
    const kinds = (ids: { Ref: string }[]) => ids.map(({ Ref }) => subnets.get(Ref));
    const isolated = ['Isolated', 'Isolated'];
    expect(kinds(property('AWS::RDS::DBSubnetGroup').SubnetIds)).toEqual(isolated);
    expect(kinds(property('AWS::OpenSearchService::Domain').VPCOptions.SubnetIds)).toEqual(
      isolated,
    );
    expect([...subnets.values()].filter((kind) => kind === 'Private')).toHaveLength(2);
    const rotation = JSON.stringify(
      property('AWS::Serverless::Application').Parameters.vpcSubnetIds,
    );
    const around = [...subnets].filter(([id]) => rotation.includes(`"${id}"`));
    expect(around.map(([, kind]) => kind)).toEqual(['Private', 'Private']);
  });

  test('everything leaves by one address, which is printed and outlives the stack', () => {
    const address = only(backing('AWS::EC2::EIP'));
    expect(address.DeletionPolicy).toBe('Retain');
    expect(refersTo(property('AWS::EC2::NatGateway').AllocationId, address.logicalId)).toBe(true);
    expect(outputs['AddressForPartners']?.Value).toEqual({ Ref: address.logicalId });
    expect(property('AWS::EC2::VPCEndpoint').VpcEndpointType).toBe('Gateway');
  });

  test('MySQL is encrypted, cannot be deleted by mistake, and writes a binlog of rows', () => {
    const cluster = property('AWS::RDS::DBCluster');
    expect(cluster).toMatchObject({ StorageEncrypted: true, DeletionProtection: true });
    expect(property('AWS::RDS::DBClusterParameterGroup').Parameters).toMatchObject({
      binlog_format: 'ROW',
      binlog_row_image: 'FULL',
      require_secure_transport: 'ON',
      time_zone: 'Asia/Shanghai',
      max_connections: String(connectionsMax),
    });
    const migrate = only(resources('platform', 'AWS::CloudFormation::CustomResource'));
    expect(migrate.Properties.binlogRetentionHours).toBe(72);
  });

  test('OpenSearch 2.19 is encrypted at rest and on its way, and asks who is there', () => {
    expect(property('AWS::OpenSearchService::Domain')).toMatchObject({
      EngineVersion: 'OpenSearch_2.19',
      EncryptionAtRestOptions: { Enabled: true },
      NodeToNodeEncryptionOptions: { Enabled: true },
      DomainEndpointOptions: { EnforceHTTPS: true },
      AdvancedSecurityOptions: { Enabled: true, InternalUserDatabaseEnabled: true },
    });
  });

  test('only the functions reach MySQL and OpenSearch', () => {
    const rules = backing('AWS::EC2::SecurityGroupIngress').map(({ Properties }) => Properties);
    const from = rules.map(({ SourceSecurityGroupId }) => JSON.stringify(SourceSecurityGroupId));
    const open = backing('AWS::EC2::SecurityGroup').flatMap(
      ({ Properties }) => Properties.SecurityGroupIngress ?? [],
    );
    expect(open).toEqual([]);
    expect(from.filter((source) => source.includes('functions'))).toHaveLength(2);
    // The third is what changes the password of MySQL every thirty days.
    expect(from.filter((source) => !source.includes('functions'))).toHaveLength(1);
  });

  test('the buckets are private, encrypted, reached by TLS only; versions that were replaced go', () => {
    const buckets = backing('AWS::S3::Bucket');
    expect(buckets).toHaveLength(2);
    for (const { logicalId, Properties, DeletionPolicy } of buckets) {
      expect(Properties.BucketEncryption.ServerSideEncryptionConfiguration).toHaveLength(1);
      expect(Object.values(Properties.PublicAccessBlockConfiguration)).toEqual(Array(4).fill(true));
      expect(DeletionPolicy).toBe('Retain');
      const { PolicyDocument } = only(
        backing('AWS::S3::BucketPolicy').filter(({ Properties }) =>
          refersTo(Properties.Bucket, logicalId),
        ),
      ).Properties;
      expect(PolicyDocument.Statement).toContainEqual(
        expect.objectContaining({
          Effect: 'Deny',
          Action: 's3:*',
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        }),
      );
    }
    const ours = only(buckets.filter(({ Properties }) => Properties.VersioningConfiguration));
    expect(ours.Properties.VersioningConfiguration.Status).toBe('Enabled');
    const [rule] = ours.Properties.LifecycleConfiguration.Rules;
    expect(rule.NoncurrentVersionExpiration.NoncurrentDays).toBe(30);
    expect(rule.ExpirationInDays).toBe(undefined);
  });

  test('the secrets that functions read are printed, and no others', () => {
    const read = String(outputs['SecretsRead']?.Value).split(' ');
    const known = (Object.keys(secrets) as (keyof typeof secrets)[]).map((name) =>
      secretId('cloud', name),
    );
    expect(read).toContain('signalbox/cloud/mysql-upstream');
    for (const secret of read) expect(known).toContain(secret);
  });
});

const created = [
  'AWS::EC2::VPC',
  'AWS::EC2::EIP',
  'AWS::RDS::DBCluster',
  'AWS::OpenSearchService::Domain',
] as const;

test.each([
  ['local', []],
  ['cloud', created],
  ['cloud with an address', [created[0], created[2], created[3]]],
  ['cloud with OpenSearch', [created[0], created[1], created[2]]],
  ['cloud with a VPC', [created[2], created[3]]],
  ['cloud with a VPC and MySQL', [created[3]]],
  ['cloud with a VPC and OpenSearch', [created[2]]],
  ['cloud with all of them', []],
] as const)('%s: only what is not there is made, without an account', (name, types) => {
  const { resources, manifest } = synthesised(name);
  expect(created.filter((type) => resources('backing', type).length > 0)).toEqual(types);
  expect(manifest.manifest.missing ?? []).toEqual([]);
  for (const { environment } of manifest.stacks)
    expect(environment.account).toBe('unknown-account');
});

test('functions run where they are told to, and an existing MySQL lets them in', () => {
  const { resources } = synthesised('cloud with all of them');
  const functions = resources('broker', 'AWS::Lambda::Function');
  expect(functions.length).toBeGreaterThan(0);
  for (const { Properties } of functions)
    expect(Properties.VpcConfig).toEqual({
      SubnetIds: sites['cloud with all of them'].vpcSubnets.split(','),
      SecurityGroupIds: [sites['cloud with all of them'].vpcSecurityGroup],
    });
  const rule = only(resources('backing', 'AWS::EC2::SecurityGroupIngress')).Properties;
  expect(rule).toMatchObject({
    GroupId: sites['cloud with all of them'].mysqlSecurityGroup,
    SourceSecurityGroupId: sites['cloud with all of them'].vpcSecurityGroup,
    FromPort: 3306,
  });
  const migrate = only(resources('platform', 'AWS::CloudFormation::CustomResource'));
  expect(migrate.Properties.binlogRetentionHours).toBe(undefined);
});

describe('context', () => {
  const problem = (context: Record<string, unknown>): string => {
    try {
      contextOf(new App({ context: { stage: 'cloud', ...context } }));
      return 'none';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  const { vpc, vpcZones, vpcSubnets, vpcSecurityGroup } = sites['cloud with a VPC'];

  test.each([
    [{ vpc }, 'vpcZones'],
    [{ vpc, vpcZones, vpcSubnets }, 'vpcSecurityGroup'],
    [{ vpcSecurityGroup }, 'says nothing without vpc'],
    [{ vpc: 'my-vpc' }, 'must look like vpc-0123456789abcdef0'],
    [{ vpc, vpcSecurityGroup, vpcSubnets, vpcZones: 'us-east-1a' }, 'give at least two'],
    [{ vpc, vpcSecurityGroup, vpcSubnets, vpcZones: 'us-east-1a,us-east-1b' }, 'one for each'],
    [{ mysqlSecurityGroup: vpcSecurityGroup }, 'name it with vpc'],
    [{ opensearchUrl: 'search.example.com' }, 'opensearchUrl'],
    [{ addressAllocation: 'eipalloc-00000fff', ...sites['cloud with a VPC'] }, 'has its own'],
    [{ rollout: 'quickly' }, 'rollout'],
  ])('%j is refused by name', (context, text) => {
    expect(problem(context)).toMatch(/^The context is not valid:/);
    expect(problem(context)).toContain(text);
  });

  test('a list is taken from cdk.context.json as a list', () => {
    const context = { vpc, vpcSecurityGroup, vpcSubnets: vpcSubnets.split(','), vpcZones };
    expect(problem(context)).toBe('none');
  });
});

test('docs/deploying.md explains every context key and every secret', () => {
  const readme = readFileSync(join(root, 'docs/deploying.md'), 'utf8');
  for (const key of contextKeys) expect(readme).toMatch(new RegExp(`^\\| \`${key}\` +\\| .+`, 'm'));
  for (const [name, opens] of Object.entries(secrets))
    expect(readme).toMatch(new RegExp(`^\\| \`${name}\` +\\| ${opens} +\\|$`, 'm'));
});
