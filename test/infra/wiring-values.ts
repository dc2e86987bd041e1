/**
 * The values of infra/ for each function in stage `cloud`, written a second time by hand: a value that changes in one
 * place only fails test/infra/wiring-values.test.ts, so every change is made twice on purpose.
 */
import type { OutcomeWord } from '../../lib/platform/outcomes.ts';

export interface FunctionValues {
  /** The time-out. */
  readonly seconds: number;
  /** The threshold of the alarm `function-duration`: the slowest invocation of a minute. */
  readonly slowMs: number;
  /** Schedule expressions, each followed by its input if that is not the event itself. */
  readonly schedules?: readonly string[];
  /** The function may be started by hand. */
  readonly byHand?: true;
  readonly route?: string;
  /** Reserved concurrency. */
  readonly reserved?: number;
  readonly queue?: {
    readonly batch: number;
    readonly atOnce: number;
    readonly visibilitySeconds: number;
  };
  /** Alarms besides those of every function, by kind. */
  readonly alarms?: Readonly<Record<string, AlarmValues>>;
}

export interface AlarmValues {
  readonly metric: string;
  readonly statistic: 'Sum' | 'Maximum';
  readonly threshold: number;
  readonly periods: number;
  readonly periodSeconds: number;
}

const nightly = 'cron(0/15 18-21 * * ? *)';

const counted = (outcome: OutcomeWord): AlarmValues => ({
  metric: `signalbox ${outcome}`,
  statistic: 'Sum',
  threshold: 1,
  periods: 1,
  periodSeconds: 60,
});

const measured = (name: string, threshold: number, periodSeconds: number): AlarmValues => ({
  metric: `signalbox ${name}`,
  statistic: 'Maximum',
  threshold,
  periods: 1,
  periodSeconds,
});

/** The memory of every function. */
export const memoryMb = 512;
/** Retries of EventBridge for an invocation that failed to start. */
export const scheduleRetries = 2;
/** Values of every queue; batch window 0 means that SQS does not wait for a fuller batch. */
export const queueValues = {
  receivesMax: 1_000,
  retentionSeconds: 1_209_600,
  batchWindowSeconds: 0,
} as const;

export const functionValues: Readonly<Record<string, FunctionValues>> = {
  'broker/accept-event': { seconds: 10, slowMs: 8_000, route: 'POST /publish', reserved: 10 },
  'broker/apply-event': {
    seconds: 20,
    slowMs: 16_000,
    queue: { batch: 10, atOnce: 10, visibilitySeconds: 120 },
  },
  'broker/publish-all-bases': { seconds: 840, slowMs: 672_000, byHand: true },
  'broker/publish-all-companies': { seconds: 840, slowMs: 672_000, byHand: true },
  'broker/publish-all-stores': { seconds: 840, slowMs: 672_000, byHand: true },
  'broker/publish-base-changes': { seconds: 55, slowMs: 44_000, schedules: ['rate(1 minute)'] },
  'broker/publish-company-changes': { seconds: 55, slowMs: 44_000, schedules: ['rate(1 minute)'] },
  'broker/publish-ext-profiles': {
    seconds: 840,
    slowMs: 672_000,
    schedules: [
      `${nightly} {"time":<time>,"input":{"mode":"weidian"}}`,
      `${nightly} {"time":<time>,"input":{"mode":"talent-and-star"}}`,
      'cron(59 * * * ? *) {"time":<time>,"input":{"mode":"star"}}',
    ],
  },
  'broker/publish-store-changes': { seconds: 55, slowMs: 44_000, schedules: ['rate(1 minute)'] },
  'broker/read-profile': { seconds: 5, slowMs: 4_000, route: 'GET /brokers/{id}', reserved: 20 },
  'broker/reconcile-profiles': {
    seconds: 840,
    slowMs: 672_000,
    schedules: ['rate(15 minutes) {"daily":true}'],
    byHand: true,
  },
  'broker/rewind-producers': { seconds: 840, slowMs: 672_000, byHand: true },
  'broker/send-canary': {
    seconds: 60,
    slowMs: 48_000,
    schedules: ['rate(5 minutes)'],
    alarms: {
      'canary-age': measured('canary age', 600, 600),
      'scan-lag': measured('scan lag', 600, 600),
      'unapplied-age': measured('unapplied age', 600, 600),
    },
  },
  'call/advance-payment-ids': { seconds: 600, slowMs: 480_000, byHand: true },
  'call/charge-call': {
    seconds: 40,
    slowMs: 32_000,
    queue: { batch: 10, atOnce: 10, visibilitySeconds: 240 },
    alarms: {
      'charging-stopped': counted('charging-stopped'),
      'owner-stopped': counted('owner-stopped'),
    },
  },
  'call/explain-call': { seconds: 10, slowMs: 8_000, route: 'GET /calls/{call_id}', reserved: 5 },
  'call/filter-call': {
    seconds: 10,
    slowMs: 8_000,
    queue: { batch: 10, atOnce: 10, visibilitySeconds: 60 },
  },
  'call/import-history': { seconds: 600, slowMs: 480_000, byHand: true },
  'call/post-contract': {
    seconds: 30,
    slowMs: 24_000,
    queue: { batch: 10, atOnce: 2, visibilitySeconds: 180 },
    alarms: { 'contract-refused': counted('refused') },
  },
  'call/post-income': {
    seconds: 55,
    slowMs: 44_000,
    schedules: ['rate(1 minute)'],
    alarms: { 'income-not-posted': counted('not-posted') },
  },
  'call/reconcile': {
    seconds: 900,
    slowMs: 720_000,
    schedules: ['cron(30 19 * * ? *)'],
    byHand: true,
    alarms: {
      'reconcile-differences': counted('differences'),
      'reconcile-incomplete': counted('incomplete'),
    },
  },
  'call/resume-charging': { seconds: 300, slowMs: 240_000, byHand: true },
  'call/reverse-charge': { seconds: 120, slowMs: 96_000, byHand: true },
  'call/settle-by-hand': { seconds: 120, slowMs: 96_000, byHand: true },
  'call/settle-unknown-charges': {
    seconds: 240,
    slowMs: 192_000,
    schedules: ['rate(5 minutes)'],
    alarms: {
      'charging-stopped': counted('charging-stopped'),
      'charge-conflict': counted('conflict'),
    },
  },
  'call/switch-listings': {
    seconds: 30,
    slowMs: 24_000,
    queue: { batch: 10, atOnce: 5, visibilitySeconds: 180 },
  },
  'call/sync-broker-phones': { seconds: 240, slowMs: 192_000, schedules: ['rate(5 minutes)'] },
  'order/check-binlog': {
    seconds: 60,
    slowMs: 48_000,
    schedules: ['rate(5 minutes)'],
    alarms: {
      'binlog-unfit': counted('unfit'),
      'binlog-lost': counted('lost'),
      'binlog-behind': measured('seconds behind', 120, 300),
      'pushes-waiting': measured('oldest unsent push', 1_800, 300),
    },
  },
  'order/push-change': {
    seconds: 60,
    slowMs: 48_000,
    queue: { batch: 10, atOnce: 5, visibilitySeconds: 360 },
    alarms: { 'pushes-refused': counted('refused'), 'pushes-unknown': counted('unknown') },
  },
  'order/repair-gap': { seconds: 900, slowMs: 720_000, byHand: true },
  'order/resend-push': { seconds: 30, slowMs: 24_000, byHand: true },
  'order/tail-binlog': { seconds: 120, slowMs: 96_000, schedules: ['rate(1 minute)'] },
  'platform/change-outbox': { seconds: 60, slowMs: 48_000, byHand: true },
  'platform/deliver-due': {
    seconds: 65,
    slowMs: 63_050,
    schedules: ['rate(1 minute)'],
    alarms: { 'outbox-refused': measured('rows refused', 1, 300) },
  },
  'platform/list-audit': { seconds: 30, slowMs: 24_000, byHand: true },
  'platform/list-outbox': { seconds: 30, slowMs: 24_000, byHand: true },
  'platform/migrate': { seconds: 600, slowMs: 480_000 },
  'platform/record-action': { seconds: 30, slowMs: 24_000, byHand: true },
  'platform/report-state': { seconds: 30, slowMs: 24_000, byHand: true },
  'platform/serve-docs': { seconds: 5, slowMs: 4_000, route: 'GET /docs', reserved: 5 },
  'platform/serve-openapi': {
    seconds: 5,
    slowMs: 4_000,
    route: 'GET /openapi.json',
    reserved: 5,
  },
  'platform/set-switch': { seconds: 60, slowMs: 48_000, byHand: true },
};

const each = (metric: string, threshold: number, periods: number): AlarmValues => ({
  metric,
  statistic: 'Sum',
  threshold,
  periods,
  periodSeconds: 60,
});

/** Alarms of every function. */
export const alarmsOfFunction = ({ slowMs }: FunctionValues) => ({
  'function-errors': each('AWS/Lambda Errors', 1, 3),
  'function-throttles': each('AWS/Lambda Throttles', 1, 5),
  'function-duration': { ...each('AWS/Lambda Duration', slowMs, 3), statistic: 'Maximum' as const },
});

/** Alarms of every function that consumes a queue. */
export const alarmsOfQueue = {
  'queue-age': {
    ...each('AWS/SQS ApproximateAgeOfOldestMessage', 300, 3),
    statistic: 'Maximum' as const,
  },
  'dead-letters': {
    ...each('AWS/SQS ApproximateNumberOfMessagesVisible', 1, 1),
    statistic: 'Maximum' as const,
  },
};

/** Alarms that roll a release back: of every function that a person does not start, and of consumers. */
export const alarmsOfRelease = { 'release-errors': each('AWS/Lambda Errors', 1, 1) };
export const alarmsOfConsumersRelease = { 'release-given-up': counted('given-up') };

/** An alarm of the backing: each metric with its statistic and its dimensions, by resource type. */
export interface BackingAlarm {
  readonly metrics: Readonly<Record<string, string>>;
  /** A metric-math expression over the names of the metrics; without it the alarm uses the only metric. */
  readonly expression?: string;
  readonly threshold: number;
  readonly periods: number;
}

const databaseDimensions = 'DBClusterIdentifier=AWS::RDS::DBCluster';
const searchDimensions = 'ClientId=AWS::AccountId DomainName=AWS::OpenSearchService::Domain';

export const backingPeriodSeconds = 60;
export const backingAlarms: Readonly<Record<string, BackingAlarm>> = {
  'signalbox-backing-network-nat-ports': {
    metrics: {
      only: 'Sum AWS/NATGateway ErrorPortAllocation NatGatewayId=AWS::EC2::NatGateway',
    },
    threshold: 1,
    periods: 3,
  },
  'signalbox-backing-mysql-database-connections': {
    metrics: { connections: `Maximum AWS/RDS DatabaseConnections ${databaseDimensions}` },
    expression: '100 * connections / 500',
    threshold: 80,
    periods: 5,
  },
  'signalbox-backing-mysql-database-capacity': {
    metrics: { only: `Maximum AWS/RDS ACUUtilization ${databaseDimensions}` },
    threshold: 90,
    periods: 10,
  },
  'signalbox-backing-search-search-health': {
    metrics: {
      red: `Maximum AWS/ES ClusterStatus.red ${searchDimensions}`,
      blocked: `Maximum AWS/ES ClusterIndexWritesBlocked ${searchDimensions}`,
    },
    expression: 'FILL(red, 0) + FILL(blocked, 0)',
    threshold: 1,
    periods: 3,
  },
  'signalbox-backing-search-search-storage': {
    metrics: { free: `Minimum AWS/ES FreeStorageSpace ${searchDimensions}` },
    expression: '100 * (1 - free / 20480)',
    threshold: 75,
    periods: 3,
  },
};
