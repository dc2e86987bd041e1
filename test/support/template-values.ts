/** What CloudFormation makes of templates: the names, addresses and ARNs that a deployed function is told. */
import type { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';

// biome-ignore lint/suspicious/noExplicitAny: a template has no type.
type Json = any;
interface Stack {
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties: Json }>
  >;
  readonly Outputs?: Readonly<Record<string, Json>>;
}

/** One of the statements of a role, about resources whose ARNs may end with `??????` or be `*`. */
export interface Statement {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
}

export interface DeployedFunction {
  readonly id: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly statements: readonly Statement[];
}

const account = '111122223333';
const region = 'us-east-1';
const pseudo: Readonly<Record<string, string>> = {
  'AWS::AccountId': account,
  'AWS::Region': region,
  'AWS::Partition': 'aws',
};

export const arnOf = (service: string, resource: string): string =>
  `arn:aws:${service}:${region}:${account}:${resource}`;

export function deployedFunctions(app: App): DeployedFunction[] {
  const stacks = app.node.children
    .filter((child) => 'templateFile' in child)
    .map((stack) => Template.fromStack(stack as never).toJSON() as Stack);
  const exported = new Map(
    stacks.flatMap((stack) =>
      Object.values(stack.Outputs ?? {}).map(({ Export, Value }) => [
        Export?.Name as string,
        { stack, value: Value },
      ]),
    ),
  );

  function refers(stack: Stack, logicalId: string, attribute?: string): string {
    const { Type, Properties } = stack.Resources[logicalId] ?? {};
    if (Type === 'AWS::SQS::Queue' && attribute === 'Arn')
      return arnOf('sqs', Properties.QueueName);
    if (Type === 'AWS::SQS::Queue') return `https://sqs.example/${account}/${Properties.QueueName}`;
    if (Type === 'AWS::Events::EventBus' && attribute === 'Arn')
      return arnOf('events', `event-bus/${Properties.Name}`);
    if (Type === 'AWS::Events::EventBus') return Properties.Name;
    return attribute ? `${logicalId}.${attribute}` : logicalId;
  }

  function resolve(stack: Stack, value: Json): Json {
    if (Array.isArray(value)) return value.map((one) => resolve(stack, one));
    if (typeof value !== 'object' || value === null) return value;
    if ('Ref' in value) return pseudo[value.Ref] ?? refers(stack, value.Ref);
    if ('Fn::GetAtt' in value) return refers(stack, value['Fn::GetAtt'][0], value['Fn::GetAtt'][1]);
    if ('Fn::Join' in value) {
      const [by, parts] = value['Fn::Join'];
      return resolve(stack, parts).join(by);
    }
    if ('Fn::ImportValue' in value) {
      const from = exported.get(value['Fn::ImportValue']);
      return from && resolve(from.stack, from.value);
    }
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, resolve(stack, one)]),
    );
  }

  const ofType = (stack: Stack, type: string) =>
    Object.values(stack.Resources)
      .filter(({ Type }) => Type === type)
      .map(({ Properties }) => resolve(stack, Properties));

  return stacks.flatMap((stack) =>
    ofType(stack, 'AWS::Lambda::Function')
      .filter(({ FunctionName }) => FunctionName)
      .map(({ Environment, Role }) => ({
        id: Environment.Variables.POWERTOOLS_SERVICE_NAME,
        variables: Environment.Variables,
        statements: ofType(stack, 'AWS::IAM::Policy')
          .filter(({ Roles }) => Roles.some((role: string) => `${role}.Arn` === Role))
          .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
          .filter(({ Effect }) => Effect === 'Allow')
          .map(({ Action, Resource }) => ({
            actions: [Action].flat(),
            resources: [Resource].flat(),
          })),
      })),
  );
}

/** Whether a role with these statements may do this. */
export function allows(
  statements: readonly Statement[],
  action: string,
  resource: string,
): boolean {
  return statements.some(
    ({ actions, resources }) =>
      actions.includes(action) &&
      resources.some(
        (pattern) =>
          pattern === resource ||
          (pattern.endsWith('-??????') &&
            resource.length === pattern.length &&
            resource.startsWith(pattern.slice(0, -'??????'.length))),
      ),
  );
}
