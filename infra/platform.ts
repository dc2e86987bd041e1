/** The stack of the platform: functions that all domains rely on. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type App, Duration } from 'aws-cdk-lib';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { serveDocsRoute, serveOpenapiRoute } from '../lib/platform/http/routes.ts';
import { binlogHoursVariable } from '../lib/platform/names.ts';
import { watchMeasures } from './constructs/alarms.ts';
import { atDeploy, byHand, scheduled } from './constructs/functions.ts';
import { allQueues, bus, mysql, redis, settings, value } from './constructs/resources.ts';
import { route } from './constructs/routes.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** What all domains rely on; deployed before them. */
export function platform(app: App, synthesis: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'platform', synthesis, backing);

  atDeploy(stack, 'platform/migrate', {
    properties: {
      migrations: migrations(),
      ...(synthesis.ownsMysql && { binlogRetentionHours }),
    },
    uses: [mysql('mysql'), ...(synthesis.ownsMysql ? [binlogRetention] : [])],
    timeout: Duration.minutes(10),
    harm: 'A deploy stops before it changes anything else; the deployed version keeps running.',
  });
  route(stack, 'platform/serve-openapi', serveOpenapiRoute, {
    atOnce: 5,
    timeout: Duration.seconds(5),
    harm: 'Callers cannot read what the API offers.',
  });
  route(stack, 'platform/serve-docs', serveDocsRoute, {
    atOnce: 5,
    timeout: Duration.seconds(5),
    harm: 'People cannot read what the API offers.',
  });

  byHand(stack, 'platform/report-state', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Operators cannot see the backlog.',
  });
  byHand(stack, 'platform/list-audit', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Nobody can see who did what by hand, or who is working on dead letters.',
  });
  byHand(stack, 'platform/list-outbox', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Nobody can see which messages, events and invalidations cannot be sent, and why.',
  });
  byHand(stack, 'platform/change-outbox', {
    uses: [mysql('mysql')],
    timeout: Duration.minutes(1),
    harm: 'Outbox rows that cannot be sent can be neither dropped nor retried at once.',
  });
  byHand(stack, 'platform/set-switch', {
    uses: [mysql('mysql')],
    timeout: Duration.minutes(1),
    harm: 'Kill switches can be turned neither off nor on.',
  });
  byHand(stack, 'platform/record-action', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Dead letters can be neither redriven nor dropped, because the audit trail cannot be written.',
  });

  return stack;
}

/** Adds the delivery of the outbox. It is called after all domains are created, because it may send to every queue. */
export function delivery(stack: Domain): void {
  scheduled(stack, 'platform/deliver-due', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), settings('platform'), bus, allQueues, redis],
    timeout: Duration.seconds(65),
    worksToTheEnd: true,
    harm: 'Postponed and unsent messages are not sent at all; the site shows old profiles.',
  });
  watchMeasures(
    stack,
    'platform/deliver-due',
    'Messages, events or cache invalidations wait in the outbox that cannot be sent as they are.',
    [
      {
        kind: 'outbox-refused',
        name: 'rows refused',
        threshold: 1,
        period: Duration.minutes(5),
      },
    ],
  );
}

/** A binlog reader may be down for three days, a long weekend, and loses nothing. */
const binlogRetentionHours = 72;

const binlogRetention = value(binlogHoursVariable, String(binlogRetentionHours));

const folder = fileURLToPath(new URL('../migrations/', import.meta.url));

/**
 * Returns the migrations in the order of their numbers. Their names and hashes are properties of the resource, so that
 * a new file makes the function run; the function's bundle contains the files.
 */
const migrations = () =>
  globSync('*.sql', { cwd: folder })
    .toSorted()
    .map((name) => ({ name, sha256: sha256(readFileSync(folder + name)) }));

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
