import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { byHand, drain, every, everyOf } from './constructs/functions.ts';
import { bus, mysql, settings } from './constructs/resources.ts';
import { type Backing, Domain, type Site } from './constructs/site.ts';

const producing = [mysql('mysql'), mysql('mysql-upstream'), settings('broker')];
const nightly = Schedule.cron({ minute: '0/15', hour: '18-21' });

/** Profile changes reach the user-facing site. */
export function broker(app: App, site: Site, backing: Backing): Domain {
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
      // Star agents change all day long; the day's last tick is at 23:59.
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
  drain(stack, brokerEvents, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker'), bus],
    timeout: Duration.seconds(20),
    harm: 'The site shows old profiles of brokers.',
  });

  return stack;
}
