/** Resources that functions use, each with its variable and permission. */
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

/** A resource that a function uses: its environment variable and its permission. */
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

/** A variable without a permission. */
export const value =
  (name: string, text: string): Use =>
  () => ({ variable: { name, value: text }, grantTo: () => {} });

const given =
  (name: string, context: 'oidcIssuer' | 'oidcAudience'): Use =>
  (stack) =>
    value(name, stack.synthesis.context[context] ?? '')(stack);

/** The issuer of people's tokens; if the context names none, requests with a token get 503. */
export const identity = {
  issuer: given(oidcVariables.issuer, 'oidcIssuer'),
  audience: given(oidcVariables.audience, 'oidcAudience'),
};

/** A domain's configuration document; `backing` deploys it. */
export const settings =
  (domain: string): Use =>
  (stack) => {
    const parameterName = settingsName(stack.synthesis.context.stage, domain);
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

/** Every queue, by its name: for `platform/deliver-due` only, after all domains are wired. */
export const allQueues: Use = (stack) => ({
  grantTo: (role) =>
    role.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['sqs:GetQueueUrl', 'sqs:SendMessage'],
        resources: stack.synthesis.queueIds.map((id) =>
          stack.formatArn({ service: 'sqs', resource: resourceName(id) }),
        ),
      }),
    ),
});

/** Secrets are created before the deploy by the person who knows them (docs/decisions/0003-secrets.md). */
function secretIn(stack: Domain, name: SecretName): Resource {
  stack.synthesis.reads(name);
  const secretName = secretId(stack.synthesis.context.stage, name);
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
