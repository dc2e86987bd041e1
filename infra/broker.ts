import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { drain, every } from './constructs/functions.ts';
import { mysql, settings } from './constructs/resources.ts';
import { type Backing, Domain, type Site } from './constructs/site.ts';

/** Profile changes reach the user-facing site. */
export function broker(app: App, site: Site, backing: Backing): Domain {
  const stack = new Domain(app, 'broker', site, backing);

  every(stack, 'broker/publish-base-changes', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), mysql('mysql-upstream'), settings('broker')],
    sends: [brokerEvents],
    timeout: Duration.seconds(55),
    harm: 'Changes that brokers make to their profile do not reach the site.',
  });
  drain(stack, brokerEvents, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream')],
    timeout: Duration.seconds(10),
    harm: 'The site shows old profiles of brokers.',
  });

  return stack;
}
