import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type App, Duration } from 'aws-cdk-lib';
import { atDeploy } from './constructs/functions.ts';
import { mysql } from './constructs/resources.ts';
import { type Backing, Domain, type Site } from './constructs/site.ts';

/** What all domains rely on; deployed before them. */
export function platform(app: App, site: Site, backing: Backing): Domain {
  const stack = new Domain(app, 'platform', site, backing);

  atDeploy(stack, 'platform/migrate', {
    properties: { migrations: migrations() },
    uses: [mysql('mysql')],
    timeout: Duration.minutes(10),
    harm: 'A deploy stops before it changes anything else; what runs goes on.',
  });

  return stack;
}

const folder = fileURLToPath(new URL('../migrations/', import.meta.url));

/** In the order of their numbers. They travel as properties, so that a new file alone makes the function run. */
const migrations = () =>
  globSync('*.sql', { cwd: folder })
    .toSorted()
    .map((name) => ({ name, sql: readFileSync(folder + name, 'utf8') }));
