import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { describe, expect, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { functionIds } from '../../infra/constructs/bundle.ts';
import { connectionsMax } from '../../infra/constructs/connections.ts';
import { Synthesis } from '../../infra/constructs/synthesis.ts';
import { connectionsPerInstanceMax, resourceName } from '../../lib/platform/names.ts';
import { root } from '../../local/root.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';
import { sites } from '../support/synthesis-contexts.ts';

interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template's properties have no type.
  readonly Properties: any;
}

function resources(stage: 'local' | 'cloud'): Resource[] {
  const app = signalbox(appNamed(`wiring-${stage}`, sites[stage]), emptyBundles());
  const stacks = app.node.children.filter((child) => 'templateFile' in child);
  return stacks.flatMap((stack) =>
    Object.values(
      Template.fromStack(stack as never).toJSON()['Resources'] as Record<string, Resource>,
    ),
  );
}

describe.each(['local', 'cloud'] as const)('stage %s', (stage) => {
  const all = resources(stage);
  const ofType = (type: string) =>
    all.filter(({ Type }) => Type === type).map(({ Properties }) => Properties);
  const functions = ofType('AWS::Lambda::Function').filter(({ FunctionName }) => FunctionName);

  test('every function is deployed under its own name, on arm64, Node 24', () => {
    expect(functions.map(({ FunctionName }) => FunctionName).toSorted()).toEqual(
      functionIds().map(resourceName).toSorted(),
    );
    for (const { Runtime, Architectures } of functions)
      expect([Runtime, ...Architectures]).toEqual(['nodejs24.x', 'arm64']);
  });

  test('every alarm names who suffers and a runbook that exists, and reaches the topic', () => {
    const alarms = ofType('AWS::CloudWatch::Alarm');
    const queues = ofType('AWS::SQS::Queue').filter(({ RedrivePolicy }) => RedrivePolicy);
    // In the cloud each alias has one that turns a release back, each consumer two; there are five below the domains.
    const live = stage === 'local' ? 0 : ofType('AWS::Lambda::Alias').length + queues.length + 5;
    // What a function measures itself may have an alarm of its own.
    const measured = alarms.filter(
      ({ Namespace, MetricName }) => Namespace === 'signalbox' && MetricName !== 'given-up',
    ).length;
    expect(alarms).toHaveLength(functions.length * 3 + queues.length * 2 + live + measured);
    for (const { AlarmDescription, AlarmActions } of alarms) {
      const [, harm, runbook = ''] =
        /^(.+\.) \(.+\) → (docs\/runbooks\/.+\.md)$/.exec(AlarmDescription) ?? [];
      expect(harm?.length).toBeGreaterThan(20);
      expect(existsSync(join(root, runbook))).toBe(true);
      expect(AlarmActions).toHaveLength(1);
    }
  });

  test('queues keep messages and dead letters fourteen days; only the thousandth delivery is cut off by SQS', () => {
    for (const { RedrivePolicy, MessageRetentionPeriod } of ofType('AWS::SQS::Queue')) {
      expect(MessageRetentionPeriod).toBe(14 * 86_400);
      if (RedrivePolicy) expect(RedrivePolicy.maxReceiveCount).toBe(1_000);
    }
  });

  test('a message stays invisible for long enough: six time-outs, on one machine a little over one', () => {
    const timeouts = new Map(functions.map(({ FunctionName, Timeout }) => [FunctionName, Timeout]));
    for (const { QueueName, VisibilityTimeout, RedrivePolicy } of ofType('AWS::SQS::Queue')) {
      if (!RedrivePolicy) continue;
      const timeout = timeouts.get(QueueName);
      expect(VisibilityTimeout).toBe(stage === 'local' ? timeout + 2 : timeout * 6);
    }
  });

  test('no role may do anything with `*` but what AWS cannot scope', () => {
    const wide = ofType('AWS::IAM::Policy').flatMap(({ PolicyDocument }) =>
      PolicyDocument.Statement.filter(({ Resource }: { Resource: unknown }) =>
        [Resource].flat().includes('*'),
      ).flatMap(({ Action }: { Action: string[] }) => Action),
    );
    const allowed =
      stage === 'local'
        ? []
        : [
            'cloudwatch:DescribeAlarms',
            'ec2:CreateNetworkInterface',
            'ec2:DeleteNetworkInterface',
            'ec2:DescribeNetworkInterfaces',
            'xray:PutTelemetryRecords',
            'xray:PutTraceSegments',
          ];
    expect([...new Set(wide)].toSorted()).toEqual(allowed);
  });
});

describe('mistakes in the wiring are named', () => {
  const fresh = () => new Synthesis(appNamed('mistakes', { stage: 'local' }), emptyBundles());
  const whole = () => {
    const site = fresh();
    for (const id of functionIds()) site.wire(id);
    return site;
  };

  test('a function that is not wired, one that is wired twice, one that is not there', () => {
    const site = fresh();
    for (const id of functionIds().slice(1)) site.wire(id);
    const [first = 'none/at-all'] = functionIds();
    expect(site.mistakes()).toEqual([
      `functions/${first}.ts is not wired: add it to infra/broker.ts.`,
    ]);
    site.wire(first);
    site.wire(first);
    expect(site.mistakes()).toEqual([`${first} is wired twice.`]);
    expect(() => site.wire('broker/nothing')).toThrow(
      'infra/ wires broker/nothing, but functions/broker/nothing.ts is not there.',
    );
  });

  test('a queue that nobody drains, that nobody feeds, that two drain', () => {
    const site = whole();
    site.feeds('a/one');
    site.drains('a/two');
    site.feeds('a/three');
    site.drains('a/three');
    site.drains('a/three');
    expect(site.mistakes()).toEqual([
      'The queue a/three is drained twice.',
      'The queue a/one is sent to, but no function drains it.',
      'No function sends to the queue a/two; if an upstream system does, set `external`.',
    ]);
  });

  test('more connections than the server takes', () => {
    const site = whole();
    site.connects('mysql', connectionsMax / connectionsPerInstanceMax);
    expect(site.mistakes()).toEqual([]);
    site.connects('mysql', 1);
    expect(site.mistakes()).toEqual([
      '502 connections to mysql are possible; it takes 500. Lower atOnce.',
    ]);
  });

  test('a context value of the wrong kind', () => {
    expect(() => new Synthesis(new App({ context: { stage: 'moon' } }))).toThrow(
      /The context is not valid:[\s\S]*stage/,
    );
  });
});
