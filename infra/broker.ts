import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { acceptEvent, readProfile } from '../lib/broker/routes.ts';
import { drain, every } from './constructs/functions.ts';
import { mysql, redis, settings } from './constructs/resources.ts';
import { route } from './constructs/routes.ts';
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
  route(stack, acceptEvent, {
    atOnce: 10,
    sends: [brokerEvents],
    timeout: Duration.seconds(10),
    harm: 'Upstream systems cannot say by HTTP what changed; they have to try again.',
  });
  drain(stack, brokerEvents, {
    external: true,
    batch: 10,
    atOnce: 10,
    uses: [mysql('mysql'), mysql('mysql-upstream')],
    timeout: Duration.seconds(10),
    harm: 'The site shows old profiles of brokers.',
  });
  route(stack, readProfile, {
    atOnce: 20,
    uses: [mysql('mysql'), redis],
    timeout: Duration.seconds(5),
    harm: 'The site cannot show profiles of brokers.',
  });

  return stack;
}
