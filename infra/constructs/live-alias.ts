import { RemovalPolicy } from 'aws-cdk-lib';
import {
  LambdaApplication,
  LambdaDeploymentConfig,
  LambdaDeploymentGroup,
} from 'aws-cdk-lib/aws-codedeploy';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Alias,
  type IFunction,
  type IVersion,
  type Function as Lambda,
} from 'aws-cdk-lib/aws-lambda';
import { resourceName } from '../../lib/platform/names.ts';
import { watchRelease } from './alarms.ts';
import { acknowledge, deployCalls, unscopedStatement } from './iam-wildcards.ts';
import type { Domain } from './synthesis.ts';

const aliasName = 'live';

const rollouts = {
  linear: LambdaDeploymentConfig.LINEAR_10PERCENT_EVERY_1MINUTE,
  'at-once': LambdaDeploymentConfig.ALL_AT_ONCE,
};

/**
 * What a trigger must point at. In stage `cloud` the alias `live`: a new version takes its traffic over by tenths, a
 * minute each, and gives all of it back when one of its alarms goes off (docs/decisions/0010-rollout.md). On one
 * machine the function itself.
 */
export function liveAlias(
  stack: Domain,
  id: string,
  made: Lambda,
  { consumes = false }: { readonly consumes?: boolean } = {},
): IFunction {
  const { site } = stack;
  if (site.local) return made as IFunction;
  // The version that was live before is kept: a person can point the alias back at it within seconds.
  made.currentVersion.applyRemovalPolicy(RemovalPolicy.RETAIN);
  const newest = made.currentVersion as IVersion;
  const alias = new Alias(stack, `${id}/live`, { aliasName, version: newest });
  const deployer = deployerIn(stack, made);
  const watched = { made, live: alias, newest };
  const group = new LambdaDeploymentGroup(stack, `${id}/rollout`, {
    application: applicationIn(stack),
    deploymentGroupName: resourceName(id),
    alias,
    role: deployer.withoutPolicyUpdates(),
    deploymentConfig: rollouts[site.context.rollout],
    alarms: watchRelease(stack, id, watched, consumes),
    autoRollback: { deploymentInAlarm: true, failedDeployment: true, stoppedDeployment: true },
  });
  group.node.addDependency(deployer);
  return alias as IFunction;
}

const applicationIn = (stack: Domain): LambdaApplication =>
  (stack.node.tryFindChild('rollout') as LambdaApplication | undefined) ??
  new LambdaApplication(stack, 'rollout', { applicationName: stack.stackName });

/** AWS's own policy for this lets CodeDeploy change every alias of the account. */
function deployerIn(stack: Domain, { functionArn }: Lambda): Role {
  const role = (stack.node.tryFindChild('rollout/role') as Role | undefined) ?? newDeployer(stack);
  role.addToPolicy(
    new PolicyStatement({
      actions: ['lambda:GetAlias', 'lambda:UpdateAlias', 'lambda:GetProvisionedConcurrencyConfig'],
      resources: [functionArn, `${functionArn}:${aliasName}`],
    }),
  );
  return role;
}

function newDeployer(stack: Domain): Role {
  const role = new Role(stack, 'rollout/role', {
    assumedBy: new ServicePrincipal('codedeploy.amazonaws.com'),
  });
  role.addToPolicy(unscopedStatement(deployCalls));
  acknowledge(role, deployCalls);
  return role;
}
