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
    uses: [mysql('mysql'), ...(synthesis.ownsMysql ? [keptBinlog] : [])],
    timeout: Duration.minutes(10),
    harm: 'A deploy stops before it changes anything else; what runs goes on.',
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
    harm: 'Whoever operates the product does not see how far behind it is.',
  });
  byHand(stack, 'platform/list-audit', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Nobody can see who did what by hand, and who holds dead letters.',
  });
  byHand(stack, 'platform/list-outbox', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Nobody can see which messages, events and invalidations cannot be sent, and why.',
  });
  byHand(stack, 'platform/change-outbox', {
    uses: [mysql('mysql')],
    timeout: Duration.minutes(1),
    harm: 'What cannot be sent can be neither dropped nor sent at once.',
  });
  byHand(stack, 'platform/set-switch', {
    uses: [mysql('mysql')],
    timeout: Duration.minutes(1),
    harm: 'Nothing can be stopped, or let go on, by a kill switch.',
  });
  byHand(stack, 'platform/record-action', {
    uses: [mysql('mysql')],
    timeout: Duration.seconds(30),
    harm: 'Dead letters can be neither redriven nor dropped: who did it could not be noted.',
  });

  return stack;
}

/** Wired when all domains are: it may send to every queue there is. */
export function delivery(stack: Domain): void {
  scheduled(stack, 'platform/deliver-due', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [mysql('mysql'), settings('platform'), bus, allQueues, redis],
    timeout: Duration.seconds(65),
    worksToTheEnd: true,
    harm: 'What was postponed, or not sent at once, is not sent at all; the site shows old profiles.',
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

/** A reader of the binlog may be away for three days, a long weekend, and lose nothing. */
const binlogRetentionHours = 72;

const keptBinlog = value(binlogHoursVariable, String(binlogRetentionHours));

const folder = fileURLToPath(new URL('../migrations/', import.meta.url));

/** In the order of their numbers. Their names are properties, so that a new file makes the function run; it holds them. */
const migrations = () =>
  globSync('*.sql', { cwd: folder })
    .toSorted()
    .map((name) => ({ name, sha256: sha256(readFileSync(folder + name)) }));

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
