/** Functions and what starts them: schedules, queues, deploys, people. */
import { CustomResource, type Duration, RemovalPolicy, Tags, Validations } from 'aws-cdk-lib';
import { EventField, Rule, RuleTargetInput, type Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction, SqsQueue as SqsQueueTarget } from 'aws-cdk-lib/aws-events-targets';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as Lambda, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { CfnQueue, Queue as SqsQueue } from 'aws-cdk-lib/aws-sqs';
import { type EventName, eventSource } from '../../lib/platform/messaging/event.ts';
import { deadLetterOf, type QueueName } from '../../lib/platform/messaging/queue.ts';
import {
  type Id,
  queueVariable,
  resourceName,
  startedByHand,
  startedTag,
} from '../../lib/platform/names.ts';
import { type Measure, watchFunction, watchMeasures, watchQueue } from './alarms.ts';
import { acknowledge, networkCalls, traceCalls, unscopedStatement } from './iam-wildcards.ts';
import { liveAlias } from './live-alias.ts';
import { deadQueueIn, queueIn } from './queues.ts';
import type { Use } from './resources.ts';
import type { Domain } from './synthesis.ts';

export interface Common {
  /** Resources that it reads or writes; each adds its variable and its permission. */
  readonly uses?: readonly Use[];
  /** Queues that it sends to; each adds its variable and its permission. */
  readonly sends?: readonly QueueName[];
  readonly timeout: Duration;
  /** Who is affected and how when it fails: the first sentence of its alarms. */
  readonly harm: string;
  /** It works until shortly before its time-out on purpose; its duration alarm is therefore higher. */
  readonly worksToTheEnd?: true;
  /** Measures of its own, each with an alarm. */
  readonly measures?: readonly Measure[];
}

const memoryMb = 512;
/** A schedule's run may overlap the next one. */
const scheduleInstances = 2;

interface Scheduled extends Common {
  readonly schedule: Schedule;
  /** A person may start it, too, with `npm run ops -- run <id>`. */
  readonly manual?: true;
  /** The event of the schedule, for functions of `byHand`; EventBridge's own event without it. */
  readonly input?: Readonly<Record<string, unknown>>;
}

/** Wires a function that a schedule (UTC) starts. */
export function scheduled(
  stack: Domain,
  id: Id,
  { schedule, manual, input, ...common }: Scheduled,
): void {
  const made = functionIn(stack, id, common, scheduleInstances);
  if (manual) Tags.of(made).add(startedTag, startedByHand);
  const event = input && RuleTargetInput.fromObject(input);
  const target = liveAlias(stack, id, made);
  new Rule(stack, `${id}/schedule`, {
    ruleName: resourceName(id),
    schedule,
    targets: [new LambdaFunction(target, { retryAttempts: 2, ...(event && { event }) })],
  });
}

/** Wires a function that several named schedules (UTC) start, each with its own input. */
export function scheduledEach(
  stack: Domain,
  id: Id,
  { schedules, ...common }: Common & { readonly schedules: Readonly<Record<string, Timed>> },
): void {
  const names = Object.keys(schedules);
  const made = functionIn(stack, id, common, scheduleInstances * names.length);
  const target = liveAlias(stack, id, made);
  for (const [name, { schedule, input }] of Object.entries(schedules)) {
    const event = RuleTargetInput.fromObject({ time: EventField.time, input });
    new Rule(stack, `${id}/schedule/${name}`, {
      ruleName: resourceName(`${id}/${name}`),
      schedule,
      targets: [new LambdaFunction(target, { retryAttempts: 2, event })],
    });
  }
}

interface Timed {
  readonly schedule: Schedule;
  readonly input: Readonly<Record<string, unknown>>;
}

interface Drain extends Common {
  /** Messages per invocation, at most. */
  readonly batch: number;
  /** Concurrent invocations, at most; SQS accepts no fewer than 2. */
  readonly atOnce: number;
  /** Upstream systems send to it, too. */
  readonly external?: true;
}

/** Wires the only consumer of a queue. It has the queue's id, which is repeated here, so that a search finds the wiring. */
export function drain<const Name extends Id>(
  stack: Domain,
  id: NoInfer<Name>,
  queue: QueueName<Name>,
  { batch, atOnce, external, ...common }: Drain,
): void {
  const { synthesis } = stack;
  synthesis.drains(id);
  if (external) synthesis.feeds(id);
  const source = queueIn(stack, queue);
  const dead = deadQueueIn(stack, queue);
  // AWS recommends six times the time-out; in stage `local` that would make every test of a failure slow.
  const seconds = common.timeout.toSeconds();
  (source.node.defaultChild as CfnQueue).visibilityTimeout = synthesis.local
    ? seconds + 2
    : seconds * 6;
  const made = functionIn(stack, id, common, atOnce);
  sendsTo(made, deadLetterOf(queue), dead);
  liveAlias(stack, id, made, { consumes: true }).addEventSource(
    new SqsEventSource(source, {
      batchSize: batch,
      maxConcurrency: atOnce,
      reportBatchItemFailures: true,
    }),
  );
  watchQueue(stack, id, common.harm, source, dead);
}

/** Subscribes a queue to an event; the message is the event's body. */
export function subscribe(stack: Domain, { event }: EventName, queue: QueueName): void {
  stack.synthesis.feeds(queue.id);
  new Rule(stack, `${queue.id}/hears/${event}`, {
    eventBus: stack.backing.bus,
    eventPattern: { source: [eventSource], detailType: [event] },
    targets: [
      new SqsQueueTarget(queueIn(stack, queue), {
        message: RuleTargetInput.fromEventPath('$.detail'),
      }),
    ],
  });
}

/** Wires a function that runs at each deploy that changes its properties; if it fails, the deploy fails. */
export function atDeploy(
  stack: Domain,
  id: Id,
  { properties, ...common }: Common & { readonly properties: Record<string, unknown> },
): void {
  const made = functionIn(stack, id, common, 1);
  const { functionArn: serviceToken } = made;
  const resource = new CustomResource(stack, `${id}/run`, {
    serviceToken,
    serviceTimeout: common.timeout,
    properties,
  });
  resource.node.addDependency(made.role ?? made);
  Validations.of(resource).acknowledge({
    id: 'CloudFormation-Validate::W9003',
    reason: 'CDK writes the number as text.',
  });
}

/** Two are enough, because `npm run ops` waits for each answer. */
const handInstances = 2;

/** Wires a function that only a person starts, with `npm run ops -- run <id>`. It runs for 15 minutes at most. */
export function byHand(stack: Domain, id: Id, common: Common): void {
  Tags.of(functionIn(stack, id, common, handInstances)).add(startedTag, startedByHand);
}

/** Creates a function with its role, log group and alarms. `instances` is its highest concurrency, which `reserved` enforces. */
export function functionIn(
  stack: Domain,
  id: Id,
  { uses = [], sends = [], timeout, harm, measures = [], worksToTheEnd }: Common,
  instances: number,
  { reserved }: { readonly reserved?: number } = {},
): Lambda {
  const { synthesis, backing } = stack;
  const resources = uses.map((use) => use(stack));
  const connects = new Set(resources.flatMap(({ connectsTo }) => connectsTo ?? []));
  for (const server of connects) synthesis.connects(server, instances);
  const network = connects.size ? backing.network : undefined;

  const logGroup = new LogGroup(stack, `${id}/log`, {
    logGroupName: `/signalbox/${id}`,
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const role = new Role(stack, `${id}/role`, {
    assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
  });
  logGroup.grantWrite(role);
  if (network) role.addToPolicy(unscopedStatement(networkCalls));
  acknowledge(role, [...(network ? networkCalls : []), ...(synthesis.local ? [] : traceCalls)]);

  const made = new Lambda(stack, id, {
    functionName: resourceName(id),
    description: harm,
    code: Code.fromAsset(synthesis.wire(id)),
    handler: 'index.handler',
    runtime: Runtime.NODEJS_24_X,
    architecture: Architecture.ARM_64,
    memorySize: memoryMb,
    timeout,
    ...(reserved && { reservedConcurrentExecutions: reserved }),
    role,
    logGroup,
    tracing: synthesis.local ? Tracing.DISABLED : Tracing.ACTIVE,
    ...(network && { vpc: network.vpc, securityGroups: [network.securityGroup] }),
    environment: {
      POWERTOOLS_SERVICE_NAME: id,
      TZ: 'Asia/Shanghai',
      ...(network && { NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem' }),
      ...Object.fromEntries(
        resources.flatMap(({ variable }) => (variable ? [[variable.name, variable.value]] : [])),
      ),
    },
  });
  for (const { grantTo } of resources) grantTo(role);
  for (const queue of sends) {
    synthesis.feeds(queue.id);
    sendsTo(made, queue, queueIn(stack, queue));
  }
  watchFunction(stack, id, harm, made, { timeout, ...(worksToTheEnd && { worksToTheEnd }) });
  watchMeasures(stack, id, harm, measures);
  return made;
}

function sendsTo(made: Lambda, { id }: QueueName, queue: SqsQueue): void {
  made.addEnvironment(queueVariable(id), queue.queueUrl);
  queue.grantSendMessages(made);
}
