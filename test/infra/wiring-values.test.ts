import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Template } from 'aws-cdk-lib/assertions';
import { describe, expect, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { againSeconds } from '../../lib/broker/apply/invalidations.ts';
import { microShopClient } from '../../lib/broker/apply/micro-shop-client.ts';
import {
  leaseSeconds as fullRunLeaseSeconds,
  pageTimeMs as fullRunPageMs,
} from '../../lib/broker/publish/full-run.ts';
import {
  leaseSeconds as comparisonLeaseSeconds,
  pauseMsMax as comparisonPauseMs,
} from '../../lib/broker/reconcile/reconcile-profiles.ts';
import { leaseSeconds as incomeLeaseSeconds } from '../../lib/call/accounting/post-income.ts';
import { listingService, switchListingsTo } from '../../lib/call/listings/listing-service.ts';
import { statementMs } from '../../lib/call/migration/advance-payment-ids.ts';
import { k3, readFromK3 } from '../../lib/call/partners/k3.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { leaseSeconds as rowLeaseSeconds } from '../../lib/call/row-lease.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { remainingMsMin as reversalEndMs } from '../../lib/call/settlement/reverse-charge.ts';
import { remainingMsMin as settlementEndMs } from '../../lib/call/settlement/settle-unknown-charges.ts';
import {
  leaseSeconds as readerLeaseSeconds,
  renewEveryMs as readerRenewMs,
} from '../../lib/order/binlog/reader-lease.ts';
import { leaseSeconds as pushLeaseSeconds } from '../../lib/order/pushes/push-lease.ts';
import { singerAt } from '../../lib/order/pushes/singer.ts';
import { leaseMs as cacheLeaseMs } from '../../lib/platform/cache/read-through-cache.ts';
import { clientConfig } from '../../lib/platform/lambda/config.ts';
import {
  leaseSeconds as deliveryLeaseSeconds,
  renewAfterMs as deliveryRenewMs,
} from '../../lib/platform/messaging/deliver-due.ts';
import { leaseSecondsMax as outboxRowLeaseSeconds } from '../../lib/platform/messaging/due-rows.ts';
import { statementSecondsMax } from '../../lib/platform/mysql/mysql.ts';
import { resourceName } from '../../lib/platform/names.ts';
import { outcomes } from '../../lib/platform/outcomes.ts';
import { type Exchange, NoResponse } from '../../lib/platform/partners/http-exchange.ts';
import { root } from '../../local/root.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';
import { sites } from '../support/synthesis-contexts.ts';
import {
  type AlarmValues,
  alarmsOfConsumersRelease,
  alarmsOfFunction,
  alarmsOfQueue,
  alarmsOfRelease,
  type BackingAlarm,
  backingAlarms,
  backingPeriodSeconds,
  functionValues,
  memoryMb,
  queueValues,
  scheduleRetries,
} from './wiring-values.ts';

// biome-ignore lint/suspicious/noExplicitAny: a template has no type.
type Json = any;
interface Resource {
  readonly stack: string;
  readonly logicalId: string;
  readonly type: string;
  readonly properties: Json;
}

function resourcesOf(name: 'cloud' | 'local'): Resource[] {
  const app = signalbox(appNamed(`wiring-values-${name}`, sites[name]), emptyBundles());
  return app.node.children
    .filter((child) => 'templateFile' in child)
    .flatMap((stack) =>
      Object.entries<Json>(Template.fromStack(stack as never).toJSON()['Resources']).map(
        ([logicalId, { Type, Properties }]) => ({
          stack: stack.node.id,
          logicalId,
          type: Type,
          properties: Properties,
        }),
      ),
    );
}

/** The logical ids, of the resource's own stack, to which a property refers. */
const referencesIn = (value: Json): string[] =>
  [...JSON.stringify(value ?? null).matchAll(/"(?:Ref|Fn::GetAtt)":\[?"([^"]+)"/g)].map(
    ([, id = '']) => id,
  );

function wiringOf(resources: readonly Resource[]) {
  const ofType = (type: string) => resources.filter((resource) => resource.type === type);
  const find = (stack: string, logicalId: string) =>
    resources.find((other) => other.stack === stack && other.logicalId === logicalId);

  /** The function that a trigger starts: itself, or through its alias. */
  function startedBy(stack: string, target: Json): string | undefined {
    for (const reference of referencesIn(target)) {
      const found = find(stack, reference);
      if (found?.type === 'AWS::Lambda::Function')
        return found.properties.Environment.Variables.POWERTOOLS_SERVICE_NAME;
      if (found?.type === 'AWS::Lambda::Alias')
        return startedBy(stack, found.properties.FunctionName);
    }
    return undefined;
  }

  function schedulesOf(id: string): string[] {
    return ofType('AWS::Events::Rule').flatMap(({ stack, properties }) =>
      (properties.Targets as Json[])
        .filter(() => properties.ScheduleExpression)
        .filter(({ Arn }) => startedBy(stack, Arn) === id)
        .map(({ Input, InputTransformer, RetryPolicy }) => {
          expect(properties.State, id).toBe('ENABLED');
          expect(RetryPolicy, id).toEqual({ MaximumRetryAttempts: scheduleRetries });
          const input = Input ?? InputTransformer?.InputTemplate;
          return input
            ? `${properties.ScheduleExpression} ${input}`
            : properties.ScheduleExpression;
        }),
    );
  }

  function queueOf(id: string) {
    const mappings = ofType('AWS::Lambda::EventSourceMapping').filter(
      ({ stack, properties }) => startedBy(stack, properties.FunctionName) === id,
    );
    const [mapping, ...others] = mappings;
    if (!mapping) return undefined;
    expect(others, id).toEqual([]);
    const { EventSourceArn, BatchSize, ScalingConfig, FunctionResponseTypes } = mapping.properties;
    const [reference = ''] = referencesIn(EventSourceArn);
    const queue = find(mapping.stack, reference)?.properties;
    expect(queue.QueueName).toBe(resourceName(id));
    expect(FunctionResponseTypes, id).toEqual(['ReportBatchItemFailures']);
    expect({
      receivesMax: queue.RedrivePolicy.maxReceiveCount,
      retentionSeconds: queue.MessageRetentionPeriod,
      batchWindowSeconds: mapping.properties.MaximumBatchingWindowInSeconds ?? 0,
    }).toEqual(queueValues);
    const [dead = ''] = referencesIn(queue.RedrivePolicy.deadLetterTargetArn);
    expect(find(mapping.stack, dead)?.properties.QueueName).toBe(resourceName(`${id}-dead`));
    return {
      batch: BatchSize,
      atOnce: ScalingConfig.MaximumConcurrency,
      visibilitySeconds: queue.VisibilityTimeout,
    };
  }

  function routeOf(id: string): { route: string; seconds: number } | undefined {
    const routes = ofType('AWS::ApiGatewayV2::Route').map(({ stack, properties }) => {
      const [reference = ''] = referencesIn(properties.Target);
      const integration = find(stack, reference)?.properties;
      return {
        id: startedBy(stack, integration.IntegrationUri),
        route: properties.RouteKey as string,
        seconds: integration.TimeoutInMillis / 1000,
      };
    });
    return routes.find((route) => route.id === id);
  }

  const functions = Object.fromEntries(
    ofType('AWS::Lambda::Function')
      .filter(({ properties }) => properties.FunctionName)
      .map(({ properties }) => {
        const id = properties.Environment.Variables.POWERTOOLS_SERVICE_NAME as string;
        expect(properties.FunctionName).toBe(resourceName(id));
        expect(properties.MemorySize, id).toBe(memoryMb);
        const [schedules, queue, answers] = [schedulesOf(id), queueOf(id), routeOf(id)];
        // API Gateway waits for exactly as long as the function may run.
        if (answers) expect(answers.seconds, id).toBe(properties.Timeout);
        const reserved = properties.ReservedConcurrentExecutions;
        const byHand = properties.Tags?.some(
          ({ Key, Value }: Json) => Key === 'signalbox:started' && Value === 'by hand',
        );
        const values = {
          seconds: properties.Timeout as number,
          ...(schedules.length && { schedules }),
          ...(byHand && { byHand }),
          ...(answers && { route: answers.route }),
          ...(reserved && { reserved }),
          ...(queue && { queue }),
        };
        return [id, values];
      }),
  );

  const alarms = Object.fromEntries(
    ofType('AWS::CloudWatch::Alarm').map(({ properties }) => [
      properties.AlarmName as string,
      properties,
    ]),
  );
  return { functions, alarms };
}

/** An alarm as CloudFormation is told of it. */
const alarmProperties = ({ metric, ...values }: AlarmValues) => ({
  metric,
  ...limitsOf(values),
});

const limitsOf = ({ threshold, periods }: Pick<AlarmValues, 'threshold' | 'periods'>) => ({
  Threshold: threshold,
  EvaluationPeriods: periods,
  ComparisonOperator: 'GreaterThanOrEqualToThreshold',
  TreatMissingData: 'notBreaching',
  DatapointsToAlarm: undefined,
});

const shown = (properties: Json) => ({
  metric: `${properties.Namespace} ${properties.MetricName}`,
  ...shownLimits(properties),
});

const shownLimits = (properties: Json) => ({
  Threshold: properties.Threshold,
  EvaluationPeriods: properties.EvaluationPeriods,
  ComparisonOperator: properties.ComparisonOperator,
  TreatMissingData: properties.TreatMissingData,
  DatapointsToAlarm: properties.DatapointsToAlarm,
});

/** Whose metric it is: a measure names its function, a queue's alarm the queue, a release's the new version. */
const dimensionsOf = (properties: Json): string[] =>
  properties.Dimensions.map(({ Name }: { Name: string }) => Name);

/** An alarm of what functions stand on, in the form of the table; each resource that it names is the only one of its type. */
function shownBacking(resources: readonly Resource[], properties: Json): unknown {
  const { Metrics = [], ...only } = properties;
  const parts: Json[] = Metrics.flatMap(({ Id, MetricStat }: Json) =>
    MetricStat ? [{ ...MetricStat.Metric, ...MetricStat, Id, Statistic: MetricStat.Stat }] : [],
  );
  const all: Json[] = parts.length ? parts : [{ ...only, Id: 'only' }];
  const expressions: Json[] = Metrics.filter(({ MetricStat }: Json) => !MetricStat);
  const typeOf = (value: Json): string => {
    const [reference = String(value)] = referencesIn(value);
    const type = resources.find(({ logicalId }) => logicalId === reference)?.type;
    if (type) expect(resources.filter((other) => other.type === type)).toHaveLength(1);
    return type ?? reference;
  };
  const metrics = all.map(({ Id, Statistic, Namespace, MetricName, Dimensions }) => {
    const dimensions = Dimensions.map(({ Name, Value }: Json) => `${Name}=${typeOf(Value)}`);
    return [Id, [Statistic, Namespace, MetricName, ...dimensions.toSorted()].join(' ')];
  });
  return {
    metrics: Object.fromEntries(metrics),
    expressions: expressions.map(({ Expression, ReturnData }) => ReturnData && Expression),
    periods: [...new Set(all.map(({ Period }) => Period))],
    ...shownLimits(properties),
  };
}

const statedBacking = ({ metrics, expression, ...values }: BackingAlarm) => ({
  metrics,
  expressions: expression === undefined ? [] : [expression],
  periods: [backingPeriodSeconds],
  ...limitsOf(values),
});

const resourcesOfCloud = resourcesOf('cloud');
const cloud = wiringOf(resourcesOfCloud);
const local = wiringOf(resourcesOf('local'));

function expectedAlarms(stage: 'cloud' | 'local'): Record<string, AlarmValues> {
  return Object.fromEntries(
    Object.entries(functionValues).flatMap(([id, values]) => {
      const { queue, schedules, route, alarms } = values;
      const starts = queue ?? schedules ?? route;
      return Object.entries<AlarmValues>({
        ...alarmsOfFunction(values),
        ...(queue && alarmsOfQueue),
        ...(stage === 'cloud' && starts && alarmsOfRelease),
        ...(stage === 'cloud' && queue && alarmsOfConsumersRelease),
        ...alarms,
      }).map(([kind, alarm]) => [`${resourceName(id)}-${kind}`, alarm]);
    }),
  );
}

test('every function has the time-out, trigger, memory and queue that the table says, and no function is missing in it', () => {
  const stated = Object.fromEntries(
    Object.entries(functionValues).map(([id, { slowMs, alarms, ...values }]) => [id, values]),
  );
  expect(cloud.functions).toEqual(stated);
});

/** The texts of a function's entry and of every file of ours that it imports. */
function sourcesOf(id: string): string {
  const texts = new Map<string, string>();
  const add = (file: string): void => {
    if (texts.has(file)) return;
    const text = readFileSync(file, 'utf8');
    texts.set(file, text);
    for (const [, path = ''] of text.matchAll(/ from '(\.[^']+)';/g))
      add(join(dirname(file), path));
  };
  add(join(root, `functions/${id}.ts`));
  texts.delete(join(root, 'lib/platform/outcomes.ts'));
  return [...texts.values()].join();
}

test('each outcome that an alarm watches is a word in the code of its function', () => {
  const watched = Object.entries(functionValues).flatMap(([id, { queue, alarms }]) =>
    Object.values({ ...alarms, ...(queue && alarmsOfConsumersRelease) })
      .map(({ metric }) => metric.replace(/^signalbox /, ''))
      .filter((word) => word in outcomes)
      .map((word) => ({ id, word })),
  );
  expect(watched.length).toBeGreaterThan(12);
  expect(watched.filter(({ id, word }) => !sourcesOf(id).includes(`'${word}'`))).toEqual([]);
});

test('one machine differs in how long a message stays invisible, and in nothing else', () => {
  const stated = Object.fromEntries(
    Object.entries(functionValues).map(([id, { slowMs, alarms, queue, ...values }]) => {
      const visibilitySeconds = values.seconds + 2;
      return [id, { ...values, ...(queue && { queue: { ...queue, visibilitySeconds } }) }];
    }),
  );
  expect(local.functions).toEqual(stated);
});

test('docs/cost.md says how many metrics the alarms of the cloud look at, and what they cost', () => {
  const metrics = Object.values(cloud.alarms).reduce(
    (sum, { Metrics }) =>
      sum + (Metrics?.filter(({ MetricStat }: { MetricStat?: object }) => MetricStat).length ?? 1),
    0,
  );
  const [, cost] = readFileSync(join(root, 'docs/cost.md'), 'utf8').split(
    `Alarms, ${metrics} metrics`,
  );
  expect(cost).toMatch(new RegExp(`^ *\\| *${(metrics * 0.1).toFixed(2)} \\|`));
});

describe.each([
  ['cloud', cloud.alarms],
  ['local', local.alarms],
] as const)('alarms of stage %s', (stage, alarms) => {
  const ofFunctions = expectedAlarms(stage);

  test('there are those of the table and no others', () => {
    const stated = { ...ofFunctions, ...(stage === 'cloud' && backingAlarms) };
    expect(Object.keys(alarms).toSorted()).toEqual(Object.keys(stated).toSorted());
  });

  test('each has the metric, comparison, threshold, periods and reading of missing data of the table', () => {
    for (const [name, values] of Object.entries(ofFunctions)) {
      expect(shown(alarms[name]), name).toEqual(alarmProperties(values));
      const { Period, Statistic } = alarms[name];
      expect([Statistic, Period], name).toEqual([values.statistic, values.periodSeconds]);
    }
  });

  test('each looks at its own function, queue or version', () => {
    for (const [name, { metric }] of Object.entries(ofFunctions)) {
      const [namespace] = metric.split(' ');
      const release = name.endsWith('-release-errors');
      const dimensions = { signalbox: 'service', 'AWS/SQS': 'QueueName' }[namespace ?? ''];
      const names = release
        ? ['ExecutedVersion', 'FunctionName', 'Resource']
        : [dimensions ?? 'FunctionName'];
      expect(dimensionsOf(alarms[name]), name).toEqual(names);
      const own = JSON.stringify(alarms[name].Dimensions).replaceAll(/[^a-z]/g, '');
      const [id = ''] = Object.keys(functionValues)
        .filter((one) => name.startsWith(`${resourceName(one)}-`))
        .toSorted((a, b) => b.length - a.length);
      expect(own, name).toContain(id.replaceAll(/[^a-z]/g, ''));
      expect(own.includes('dead'), name).toBe(name.endsWith('-dead-letters'));
    }
  });
});

test('the alarms of what functions stand on have the metrics, statistics, dimensions and values of the table', () => {
  for (const [name, values] of Object.entries(backingAlarms)) {
    const backing = resourcesOfCloud.filter(({ stack }) => stack === 'backing');
    expect(shownBacking(backing, cloud.alarms[name]), name).toEqual(statedBacking(values));
  }
});

describe('values that depend on each other', () => {
  const secondsOf = (id: string) => cloud.functions[id]?.seconds ?? 0;

  /** The longest that one call to a partner may take: every attempt to its time-out, and the pauses between. */
  async function longestMs(call: (exchange: Exchange) => Promise<unknown>): Promise<number> {
    let waitingMs = 0;
    const start = performance.now();
    await call(async ({ timeoutMs }) => {
      waitingMs += timeoutMs;
      throw new NoResponse('no connection', { sent: false });
    }).catch(() => {});
    // What the code itself takes is less than a tenth of a second.
    return waitingMs + Math.floor((performance.now() - start) / 100) * 100;
  }

  const url = 'http://partner.example';
  const off = { to: 'offline', requestId: '1' } as const;
  const slowest = CallSettings.shape.payment_api_timeout.maxValue ?? Number.NaN;
  const partners = {
    payment: () =>
      longestMs((exchange) =>
        payments(
          async () => ({ payment_base_api_url: url, payment_api_timeout: slowest }),
          async () => ({ app: 'app', key: 'key' }),
          exchange,
        ).tradeOf('1'),
      ),
    k3: () =>
      longestMs((exchange) =>
        readFromK3(
          k3(async () => ({ k3_url: url }), exchange),
          'N-1',
        ),
      ),
    listing: () =>
      longestMs((exchange) =>
        switchListingsTo(
          listingService(async () => ({ listing_api_url: url }), exchange),
          '7',
          off,
          'no money',
        ),
      ),
    singer: () => longestMs((exchange) => singerAt(exchange)(url)({} as never)),
    weishop: () =>
      longestMs((exchange) =>
        microShopClient(async () => ({ broker_weidian_api: url }), exchange)(['1']),
      ),
  };

  test.each([
    ['payment', ['call/charge-call', 'call/settle-unknown-charges', 'call/settle-by-hand']],
    ['payment', ['call/reverse-charge', 'call/reconcile', 'call/advance-payment-ids']],
    ['k3', ['call/post-contract', 'call/reconcile']],
    ['listing', ['call/switch-listings']],
    ['singer', ['order/push-change']],
    ['weishop', ['broker/apply-event']],
  ] as const)('%s may take half the time of %j, and no more', async (partner, functions) => {
    const ms = await partners[partner]();
    expect(ms).toBeGreaterThan(1_000);
    for (const id of functions) expect(ms, id).toBeLessThanOrEqual(secondsOf(id) * 500);
  });

  /** Of what is written before and after the exchanges: one statement that takes as long as one may. */
  const writingMs = statementSecondsMax * 1000;

  test('a row is leased for longer than its consumer runs, or than the exchanges under one lease take', async () => {
    for (const id of ['call/charge-call', 'call/switch-listings', 'call/post-contract'])
      expect(rowLeaseSeconds, id).toBeGreaterThan(secondsOf(id));
    const payment = await partners.payment();
    // A reversal: a refund, and the question about it. A charge in call/settle-unknown-charges: one deduction.
    for (const id of ['call/reverse-charge', 'call/settle-unknown-charges']) {
      expect(rowLeaseSeconds * 1000, id).toBeGreaterThan(2 * payment + writingMs);
      expect(secondsOf(id) * 1000, id).toBeGreaterThan(2 * payment + writingMs);
    }
    expect(pushLeaseSeconds * 1000).toBeGreaterThan(2 * (await partners.singer()));
    // A contract that K3 refuses is asked for.
    const contract = 2 * (await partners.k3()) + writingMs;
    expect(secondsOf('call/post-contract') * 1000).toBeGreaterThan(contract);
  });

  test('a run begins no row whose exchanges would not end before its time-out', async () => {
    const longest = 2 * (await partners.payment()) + writingMs;
    for (const margin of [settlementEndMs, reversalEndMs]) {
      expect(margin).toBeGreaterThan(longest);
      expect(margin).toBeLessThan(secondsOf('call/settle-unknown-charges') * 500);
    }
  });

  test('no statement is read that leaves no time for the question after it, and several fit into the time-out', async () => {
    // The statement of the last day, the question about a trade, and what is written.
    expect(statementMs).toBeGreaterThan(2 * (await partners.payment()) + writingMs);
    expect(statementMs).toBeLessThan(secondsOf('call/advance-payment-ids') * 500);
  });

  test('a lease of the cache outlasts every function that reads through it, and ends before the second invalidation', () => {
    const readers = globSync('lib/**/*.ts', { cwd: root }).filter((file) =>
      /import .*\breadThrough\b.* from /.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(readers).toEqual(['lib/broker/read/read-profile.ts']);
    const functions = globSync('functions/**/*.ts', { cwd: root }).filter((file) =>
      readFileSync(join(root, file), 'utf8').includes('/read/read-profile.ts'),
    );
    expect(functions).toEqual(['functions/broker/read-profile.ts']);
    // The lease begins after the invocation.
    expect(cacheLeaseMs).toBeGreaterThanOrEqual(secondsOf('broker/read-profile') * 1000);
    expect(cacheLeaseMs).toBeLessThan(againSeconds * 1000);
  });

  test('a lease outlasts its function, or the time between two renewals three times, or one step', () => {
    expect(incomeLeaseSeconds).toBeGreaterThan(secondsOf('call/post-income'));
    const { connectionTimeout, requestTimeout } = clientConfig.requestHandler;
    const sendMs = clientConfig.maxAttempts * (connectionTimeout + requestTimeout);
    expect(outboxRowLeaseSeconds * 1000).toBeGreaterThan(sendMs);
    expect(deliveryLeaseSeconds * 1000).toBeGreaterThanOrEqual(3 * deliveryRenewMs);
    expect(readerLeaseSeconds * 1000).toBeGreaterThanOrEqual(3 * readerRenewMs);
    expect(comparisonLeaseSeconds * 1000).toBeGreaterThanOrEqual(3 * comparisonPauseMs);
    expect(fullRunLeaseSeconds * 1000).toBeGreaterThan(fullRunPageMs + writingMs);
  });

  test('every lease of the product is compared here', () => {
    const files = globSync('lib/**/*.ts', { cwd: root }).filter((file) =>
      /^(?:export )?const lease(?:Seconds|Ms) = /m.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(files.toSorted()).toEqual([
      'lib/broker/publish/full-run.ts',
      'lib/broker/reconcile/reconcile-profiles.ts',
      'lib/call/accounting/post-income.ts',
      'lib/call/row-lease.ts',
      'lib/order/binlog/reader-lease.ts',
      'lib/order/pushes/push-lease.ts',
      'lib/platform/cache/read-through-cache.ts',
      'lib/platform/messaging/deliver-due.ts',
      'lib/platform/messaging/due-rows.ts',
    ]);
  });

  test('a message stays invisible for six time-outs at least', () => {
    for (const [id, { queue, seconds }] of Object.entries(cloud.functions))
      if (queue) expect(queue.visibilitySeconds, id).toBeGreaterThanOrEqual(6 * Number(seconds));
  });

  test('a run that a schedule starts each minute ends before the next, but for those that hand over to it', () => {
    const handOver = ['order/tail-binlog', 'platform/deliver-due'];
    for (const [id, { schedules, seconds }] of Object.entries(cloud.functions)) {
      if (!schedules?.includes('rate(1 minute)')) continue;
      if (handOver.includes(id)) expect(seconds, id).toBeGreaterThan(60);
      else expect(seconds, id).toBeLessThan(60);
    }
  });

  test('what a schedule measures is measured at least once in the period of its alarm', () => {
    const secondsBetween: Readonly<Record<string, number>> = {
      'rate(1 minute)': 60,
      'rate(5 minutes)': 300,
    };
    for (const [id, { alarms, schedules }] of Object.entries(functionValues))
      for (const { statistic, periodSeconds } of Object.values(alarms ?? {}))
        if (statistic === 'Maximum')
          expect(secondsBetween[schedules?.[0] ?? ''], id).toBeLessThanOrEqual(periodSeconds);
  });

  test('no invocation is too slow before it may be: the alarm is below the time-out, and above four fifths of it', () => {
    for (const [id, { seconds, slowMs }] of Object.entries(functionValues)) {
      expect(slowMs, id).toBeLessThan(seconds * 1000);
      expect(slowMs, id).toBeGreaterThanOrEqual(seconds * 800);
    }
  });
});
