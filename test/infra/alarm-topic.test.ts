import { Template } from 'aws-cdk-lib/assertions';
import { describe, expect, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';
import { sites } from '../support/synthesis-contexts.ts';

// biome-ignore lint/suspicious/noExplicitAny: a template has no type.
type Json = any;
type Stack = { Resources: Record<string, Json>; Outputs?: Record<string, Json> };

const account = '111122223333';
const pseudo: Record<string, string> = {
  'AWS::AccountId': account,
  'AWS::Region': 'us-east-1',
  'AWS::Partition': 'aws',
};

function templatesOf(name: keyof typeof sites): Stack[] {
  const app = signalbox(appNamed(`alarm-topic-${name}`, sites[name]), emptyBundles());
  return app.node.children
    .filter((child) => 'templateFile' in child)
    .map((stack) => Template.fromStack(stack as never).toJSON() as Stack);
}

/** What CloudFormation makes of a value: a resource's `Ref` stays its logical id, an import is what is exported. */
function resolved(value: Json, all: readonly Stack[]): Json {
  if (Array.isArray(value)) return value.map((one) => resolved(one, all));
  if (typeof value !== 'object' || value === null) return value;
  if ('Ref' in value) return pseudo[value.Ref] ?? value.Ref;
  if ('Fn::Join' in value) {
    const [by, parts] = value['Fn::Join'];
    return parts.map((part: Json) => resolved(part, all)).join(by);
  }
  if ('Fn::ImportValue' in value) {
    const outputs = all.flatMap(({ Outputs = {} }) => Object.values(Outputs));
    const exported = outputs.find(({ Export }) => Export?.Name === value['Fn::ImportValue']);
    return resolved(exported?.Value, all);
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolved(one, all)]));
}

interface Attempt {
  readonly topic: string;
  readonly service: string;
  readonly context: Readonly<Record<string, string>>;
}

const list = (value: Json): string[] => (value === undefined ? [] : [value].flat());
const like = (pattern: string, value = '') =>
  pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern;

function applies({ Principal, Action, Resource, Condition = {} }: Json, attempt: Attempt): boolean {
  const principals =
    Principal === '*' ? ['*'] : [...list(Principal.AWS), ...list(Principal.Service)];
  return (
    principals.some((one) => one === '*' || one === attempt.service) &&
    list(Action).some((pattern) => like(pattern, 'sns:Publish')) &&
    list(Resource).includes(attempt.topic) &&
    Object.values<Json>(Condition).every((tests) =>
      Object.entries<string>(tests).every(([key, pattern]) => like(pattern, attempt.context[key])),
    )
  );
}

function mayPublish(statements: readonly Json[], attempt: Attempt): boolean {
  const effects = statements
    .filter((statement) => applies(statement, attempt))
    .map(({ Effect }) => Effect);
  return effects.includes('Allow') && !effects.includes('Deny');
}

describe.each(['local', 'cloud', 'cloud with all of them'] as const)('%s', (name) => {
  const all = templatesOf(name);
  const ofType = (type: string) =>
    all.flatMap(({ Resources }) =>
      Object.entries(Resources)
        .filter(([, { Type }]) => Type === type)
        .map(([logicalId, { Properties }]) => ({ logicalId, ...resolved(Properties, all) })),
    );
  const topics = ofType('AWS::SNS::Topic').map(({ logicalId }) => logicalId);
  const statementsOf = (topic: string) =>
    ofType('AWS::SNS::TopicPolicy')
      .filter(({ Topics }) => Topics.includes(topic))
      .flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
  const alarms = ofType('AWS::CloudWatch::Alarm');
  const attemptOf = (topic: string, alarmName: string, more: Record<string, string> = {}) => ({
    topic,
    service: 'cloudwatch.amazonaws.com',
    context: {
      'aws:SecureTransport': 'true',
      'aws:SourceAccount': account,
      'aws:SourceArn': `arn:aws:cloudwatch:us-east-1:${account}:alarm:${alarmName}`,
      ...more,
    },
  });

  test('every alarm may publish to its topic when it goes off and when it is over', () => {
    expect(alarms.length).toBeGreaterThan(100);
    for (const { AlarmName, AlarmActions, OKActions } of alarms)
      for (const [topic] of [AlarmActions, OKActions]) {
        expect(topics, AlarmName).toContain(topic);
        expect(mayPublish(statementsOf(topic), attemptOf(topic, AlarmName)), AlarmName).toBe(true);
      }
  });

  test('an alarm of another account, another service, and an unencrypted request may not publish', () => {
    const [topic] = topics;
    const statements = statementsOf(topic);
    const good = attemptOf(topic, 'any');
    const elsewhere = {
      'aws:SourceAccount': '999999999999',
      'aws:SourceArn': 'arn:aws:cloudwatch:us-east-1:999999999999:alarm:any',
    };
    expect(mayPublish(statements, good)).toBe(true);
    expect(mayPublish(statements, attemptOf(topic, 'any', elsewhere))).toBe(false);
    expect(mayPublish(statements, { ...good, service: 'events.amazonaws.com' })).toBe(false);
    const plain = attemptOf(topic, 'any', { 'aws:SecureTransport': 'false' });
    expect(mayPublish(statements, plain)).toBe(false);
  });
});
