import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { acceptEventRoute, readProfileRoute } from '../lib/broker/routes.ts';
import { byHand, drain, every, everyAndByHand, everyOf } from './constructs/functions.ts';
import { bus, mysql, redis, settings } from './constructs/resources.ts';
import { route } from './constructs/routes.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Two runs of the canary: of each period there is something to look at. */
const tenMinutes = { threshold: 600, period: Duration.minutes(10) };
const producing = [mysql('mysql'), mysql('mysql-upstream'), settings('broker')];
const nightly = Schedule.cron({ minute: '0/15', hour: '18-21' });

/** Profile changes reach the user-facing site. */
export function broker(app: App, site: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'broker', site, backing);

  every(stack, 'broker/publish-base-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes that brokers make to their profile do not reach the site.',
  });
  every(stack, 'broker/publish-company-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes of companies do not reach the site.',
  });
  every(stack, 'broker/publish-store-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes of stores do not reach the site.',
  });
  everyOf(stack, 'broker/publish-ext-profiles', {
    schedules: {
      // By night, from 02:00 to 05:45 in Shanghai: a tick goes on where the one before was out of time.
      weidian: { schedule: nightly, input: { mode: 'weidian' } },
      'talent-and-star': { schedule: nightly, input: { mode: 'talent-and-star' } },
      // Star agents change all day long; the first tick of a day also looks at the day that has ended.
      star: { schedule: Schedule.cron({ minute: '59' }), input: { mode: 'star' } },
    },
    uses: producing,
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'Micro-shops, WeChat talents and star agents on the site grow old.',
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
      harm: `The ${what} on the site cannot be made equal to upstream by hand.`,
    });
  route(stack, acceptEventRoute, {
    atOnce: 10,
    sends: [brokerEvents],
    timeout: Duration.seconds(10),
    harm: 'Upstream systems cannot say by HTTP what changed; they have to try again.',
  });
  drain(stack, brokerEvents, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker'), redis, bus],
    timeout: Duration.seconds(20),
    harm: 'The site shows old profiles of brokers.',
  });
  route(stack, readProfileRoute, {
    atOnce: 20,
    uses: [mysql('mysql'), redis],
    timeout: Duration.seconds(5),
    harm: 'The site cannot show profiles of brokers.',
  });
  everyAndByHand(stack, 'broker/reconcile-profiles', {
    // Each goes on with the round of the day; the first of a day begins it.
    schedule: Schedule.rate(Duration.minutes(15)),
    input: { daily: true },
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker')],
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'Where the site differs from upstream for good, nobody notices, and it stays so.',
  });
  byHand(stack, 'broker/rewind-producers', {
    uses: [mysql('mysql'), mysql('mysql-upstream')],
    sends: [brokerEvents],
    timeout: Duration.minutes(14),
    harm: 'What changed since a time cannot be published once more.',
  });
  every(stack, 'broker/send-canary', {
    schedule: Schedule.rate(Duration.minutes(5)),
    uses: [mysql('mysql'), redis, settings('broker')],
    sends: [brokerEvents],
    timeout: Duration.minutes(1),
    harm: 'Changes of brokers take long to reach the site, or nobody notices that they do.',
    measures: [
      { kind: 'canary-age', name: 'canary age', ...tenMinutes },
      { kind: 'scan-lag', name: 'scan lag', ...tenMinutes },
      { kind: 'unapplied-age', name: 'unapplied age', ...tenMinutes },
    ],
  });

  return stack;
}
