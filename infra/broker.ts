/** Wiring of the broker domain: triggers, permissions, limits and alarms of its functions. */
import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { acceptEventRoute, readProfileRoute } from '../lib/broker/routes.ts';
import { byHand, drain, scheduled, scheduledEach } from './constructs/functions.ts';
import { bus, mysql, redis, settings } from './constructs/resources.ts';
import { route } from './constructs/routes.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Two runs of the canary, so that each period has at least one measurement. */
const tenMinutes = { threshold: 600, period: Duration.minutes(10) };
const producing = [mysql('mysql'), mysql('mysql-upstream'), settings('broker')];
const nightly = Schedule.cron({ minute: '0/15', hour: '18-21' });

/** The stack that brings profile changes to the user-facing site. */
export function broker(app: App, synthesis: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'broker', synthesis, backing);

  scheduled(stack, 'broker/publish-base-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Profile changes of brokers do not reach the site.',
  });
  scheduled(stack, 'broker/publish-company-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes of companies do not reach the site.',
  });
  scheduled(stack, 'broker/publish-store-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes of stores do not reach the site.',
  });
  scheduledEach(stack, 'broker/publish-ext-profiles', {
    schedules: {
      // At night, from 02:00 to 05:45 in Shanghai. A tick resumes a run that ran out of time before.
      weidian: { schedule: nightly, input: { mode: 'weidian' } },
      'talent-and-star': { schedule: nightly, input: { mode: 'talent-and-star' } },
      // Star agents change all day; the first tick of a day also runs the day before once more.
      star: { schedule: Schedule.cron({ minute: '59' }), input: { mode: 'star' } },
    },
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'Micro shops, WeChat talents and star agents on the site are out of date.',
  });
  for (const [id, what] of [
    ['broker/publish-all-bases', 'brokers'],
    ['broker/publish-all-companies', 'companies'],
    ['broker/publish-all-stores', 'stores'],
  ] as const)
    byHand(stack, id, {
      uses: producing,
      sends: [brokerEvents],
      timeout: Duration.minutes(14),
      harm: `Nobody can republish all ${what} by hand to repair the site.`,
    });
  route(stack, 'broker/accept-event', acceptEventRoute, {
    atOnce: 10,
    sends: [brokerEvents],
    timeout: Duration.seconds(10),
    harm: 'Upstream systems cannot send changes over HTTP, and have to retry.',
  });
  drain(stack, 'broker/apply-event', brokerEvents, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker'), redis, bus],
    timeout: Duration.seconds(20),
    harm: 'The site shows outdated profiles of brokers.',
  });
  route(stack, 'broker/read-profile', readProfileRoute, {
    atOnce: 20,
    uses: [mysql('mysql'), redis],
    timeout: Duration.seconds(5),
    harm: 'The site cannot show profiles of brokers.',
  });
  scheduled(stack, 'broker/reconcile-profiles', {
    // Each run resumes the round of the day; the first run of a day starts it.
    schedule: Schedule.rate(Duration.minutes(15)),
    manual: true,
    input: { daily: true },
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker')],
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'Rows of the site that differ from upstream are neither found nor repaired.',
  });
  byHand(stack, 'broker/rewind-producers', {
    uses: [mysql('mysql'), mysql('mysql-upstream')],
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'Nobody can republish changes since a time by hand to repair a loss.',
  });
  scheduled(stack, 'broker/send-canary', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), redis, settings('broker')],
    sends: [brokerEvents],
    timeout: Duration.minutes(1),
    harm: 'Changes of brokers reach the site late, or such delays stay unnoticed.',
    measures: [
      { kind: 'canary-age', name: 'canary age', ...tenMinutes },
      { kind: 'scan-lag', name: 'scan lag', ...tenMinutes },
      { kind: 'unapplied-age', name: 'unapplied age', ...tenMinutes },
    ],
  });

  return stack;
}
