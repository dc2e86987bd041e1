import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import {
  busVariable,
  type MysqlName,
  oidcVariables,
  resourceName,
  type SecretName,
  secretVariable,
  settingsVariable,
} from '../../lib/platform/names.ts';
import { settingsName } from './names.ts';
import { secretId } from './secrets.ts';
import type { Domain } from './synthesis.ts';

/** Something a function uses: the variable it is told by and the permission it needs, in one word of its wiring. */
export interface Resource {
  readonly variable?: { readonly name: string; readonly value: string };
  readonly grantTo: (role: IRole) => void;
  readonly connectsTo?: MysqlName;
}

type Use = (stack: Domain) => Resource;

/** A MySQL server by its secret. */
export const mysql =
  (name: MysqlName): Use =>
  (stack) => ({ ...secretIn(stack, name), connectsTo: name });

/** The cache, reached over HTTPS. */
export const redis: Use = (stack) => secretIn(stack, 'redis');

/** A secret of `signalbox/<stage>/<name>`. */
export const secret =
  (name: SecretName): Use =>
  (stack) =>
    secretIn(stack, name);

/** A variable that gives access to nothing. */
export const value =
  (name: string, text: string): Use =>
  () => ({ variable: { name, value: text }, grantTo: () => {} });

const given =
  (name: string, context: 'oidcIssuer' | 'oidcAudience'): Use =>
  (stack) =>
    value(name, stack.site.context[context] ?? '')(stack);

/** Whose tokens people bring: empty where the context names nobody, and tokens are then answered 503. */
export const identity = {
  issuer: given(oidcVariables.issuer, 'oidcIssuer'),
  audience: given(oidcVariables.audience, 'oidcAudience'),
};

/** A domain's configuration document; `backing` deploys it. */
export const settings =
  (domain: string): Use =>
  (stack) => {
    const parameterName = settingsName(stack.site.context.stage, domain);
    const id = `settings/${domain}`;
    const parameter =
      stack.node.tryFindChild(id) ??
      StringParameter.fromStringParameterName(stack, id, parameterName);
    return {
      variable: { name: settingsVariable(domain), value: parameterName },
      grantTo: (role) => (parameter as StringParameter).grantRead(role),
    };
  };

/** The event bus, to put events on. */
export const bus: Use = ({ backing }) => ({
  variable: { name: busVariable, value: backing.bus.eventBusName },
  grantTo: (role) => backing.bus.grantPutEventsTo(role),
});

/** Every queue of the product, by its name: only for who delivers for all. The domains are wired before. */
export const allQueues: Use = (stack) => ({
  grantTo: (role) =>
    role.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['sqs:GetQueueUrl', 'sqs:SendMessage'],
        resources: stack.site.queueIds.map((id) =>
          stack.formatArn({ service: 'sqs', resource: resourceName(id) }),
        ),
      }),
    ),
});

/** Secrets exist before the deploy, made by who knows them (docs/decisions/0003-secrets.md). */
function secretIn(stack: Domain, name: SecretName): Resource {
  stack.site.reads(name);
  const secretName = secretId(stack.site.context.stage, name);
  const id = `secret/${name}`;
  const secret =
    (stack.node.tryFindChild(id) as Secret | undefined) ??
    Secret.fromSecretNameV2(stack, id, secretName);
  return {
    variable: { name: secretVariable(name), value: secretName },
    grantTo: (role) => secret.grantRead(role),
  };
}

export type { Use };
