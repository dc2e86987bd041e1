import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { brokerEvents } from '../lib/broker/queues.ts';
import { acceptEvent, readProfile } from '../lib/broker/routes.ts';
import { byHand, drain, every, everyAndByHand } from './constructs/functions.ts';
import { mysql, redis, settings } from './constructs/resources.ts';
import { route } from './constructs/routes.ts';
import { type Backing, Domain, type Site } from './constructs/site.ts';

/** Two runs of the canary: of each period there is something to look at. */
const tenMinutes = { thresholdSeconds: 600, period: Duration.minutes(10) };

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
