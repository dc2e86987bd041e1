/** The dashboard of each domain. */
import { Duration } from 'aws-cdk-lib';
import {
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  MathExpression,
  PeriodOverride,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Domain } from './synthesis.ts';
import type { Watched } from './watched-resources.ts';

const period = Duration.minutes(1);
const width = 6;
/** The dashboard's grid has 24 columns. */
const wide = 24;

/** Creates a domain's dashboard after its functions are wired: alarms, then a row for each function and queue. */
export function dashboard(stack: Domain): void {
  const { functions, queues, alarms } = stack.watched;
  const made = new Dashboard(stack, 'dashboard', {
    dashboardName: stack.stackName,
    periodOverride: PeriodOverride.INHERIT,
    defaultInterval: Duration.hours(3),
  });
  made.addWidgets(new AlarmStatusWidget({ title: 'Alarms', width: wide, height: 3, alarms }));
  for (const each of functions) {
    made.addWidgets(...functionRow(each));
    const queue = queues.find(({ id }) => id === each.id);
    if (queue) made.addWidgets(...queueRow(queue));
  }
}

function functionRow({ id, made }: Watched['functions'][number]): IWidget[] {
  const duration = (statistic: string) =>
    made.metricDuration({ period, statistic, label: statistic });
  return [
    graph(id, [made.metricInvocations({ period }), made.metricErrors({ period })]),
    graph(`${id}: milliseconds`, [duration('p50'), duration('p99')]),
    graph(`${id}: throttles`, [made.metricThrottles({ period })]),
    graph(`${id}: outcomes`, [outcomesOf(id)]),
  ];
}

function queueRow({ id, queue, dead }: Watched['queues'][number]): IWidget[] {
  return [
    graph(`${id}: seconds waited`, [queue.metricApproximateAgeOfOldestMessage({ period })]),
    graph(`${id}: messages visible and in flight`, [
      queue.metricApproximateNumberOfMessagesVisible({ period }),
      queue.metricApproximateNumberOfMessagesNotVisible({ period }),
    ]),
    graph(`${id}: dead letters`, [dead.metricApproximateNumberOfMessagesVisible({ period })]),
  ];
}

/** Counts of all outcomes of the function, found by a metric search, so that a new outcome appears by itself. */
const outcomesOf = (id: string): IMetric =>
  new MathExpression({
    expression: `SEARCH('{signalbox,service} service="${id}"', 'Sum', ${period.toSeconds()})`,
    label: '',
    period,
  });

const graph = (title: string, left: IMetric[]): IWidget =>
  new GraphWidget({ title, left, width, leftYAxis: { min: 0 } });
