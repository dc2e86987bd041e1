/** The alias `live`, through which a release takes over step by step. */
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
 * Returns what triggers must invoke. In stage `cloud` that is the alias `live`: traffic shifts to a new version by a
 * tenth each minute, and back when one of its alarms goes off (docs/decisions/0010-rollout.md). In stage `local` it is
 * the function itself.
 */
export function liveAlias(
  stack: Domain,
  id: string,
  made: Lambda,
  { consumes = false }: { readonly consumes?: boolean } = {},
): IFunction {
  const { synthesis } = stack;
  if (synthesis.local) return made as IFunction;
  // The previous version is retained, so that a person can point the alias back at it within seconds.
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
    deploymentConfig: rollouts[synthesis.context.rollout],
    alarms: watchRelease(stack, id, watched, consumes),
    autoRollback: { deploymentInAlarm: true, failedDeployment: true, stoppedDeployment: true },
  });
  group.node.addDependency(deployer);
  return alias as IFunction;
}

const applicationIn = (stack: Domain): LambdaApplication =>
  (stack.node.tryFindChild('rollout') as LambdaApplication | undefined) ??
  new LambdaApplication(stack, 'rollout', { applicationName: stack.stackName });

/** A role of its own, because AWS's managed policy allows CodeDeploy to change every alias of the account. */
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
