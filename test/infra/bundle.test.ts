import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { describe, expect, inject, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';
import { ceilingOf } from '../../infra/constructs/bundle-limits.ts';
import { root } from '../../local/root.ts';
import { upstream } from '../../local/secrets.ts';
import { signed } from '../support/http.ts';
import { eventOf } from '../support/lambda.ts';
import type { Given, Started } from '../support/start-bundles.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';
import { sites } from '../support/synthesis-contexts.ts';
import { allows, arnOf, deployedFunctions } from '../support/template-values.ts';

const outdir = join(inject('dir'), 'bundles');
const { outputs } = bundle(outdir);
const { messages, stderr } = startedWithoutVariables();
const oidc = { oidcIssuer: 'http://127.0.0.1:1/', oidcAudience: 'signalbox' };
const app = signalbox(appNamed('bundles-told', { ...sites.cloud, ...oidc }), emptyBundles());

/** They are told nothing: they only describe. */
const describing = ['platform/serve-docs', 'platform/serve-openapi'];

test.each(functionIds().filter((id) => !describing.includes(id)))(
  '%s names the variable that is missing in one line when it starts',
  (id) => {
    expect(messages[id]).toMatch(/^The variable (SECRET|QUEUE|SETTINGS)_[A-Z_]+ is missing: .*$/);
  },
);

test('nothing else is printed when they start', () => {
  expect(stderr).toBe('');
});

test('no bundle is over the ceiling of its kind', () => {
  const sizes = Object.entries(outputs).map(([file, { bytes, inputs }]) => {
    const { kind, bytesMax } = ceilingOf(Object.keys(inputs));
    return { file, kind, bytes, over: bytes > bytesMax };
  });
  expect(sizes).toHaveLength(functionIds().length);
  expect(sizes.filter(({ over }) => over)).toEqual([]);
});

/** Imports all bundles, one after the other, in one process without a single variable: why each of them fails. */
function startedWithoutVariables(): { messages: Record<string, string>; stderr: string } {
  const files = functionIds().map((id) => [id, join(outdir, id, 'index.mjs')]);
  const program = `
    const messages = {};
    for (const [id, file] of ${JSON.stringify(files)})
      await import(file).catch(({ message }) => { messages[id] = message; });
    process.stdout.write(JSON.stringify(messages), () => process.exit());`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: {},
  });
  return { messages: JSON.parse(stdout), stderr };
}

test('the bundle of platform/migrate holds the migrations, and its deploy names them by their hashes only', () => {
  const held = join(outdir, 'platform/migrate/migrations');
  const files = readdirSync(join(root, 'migrations')).toSorted();
  expect(readdirSync(held).toSorted()).toEqual(files);
  const named = files.map((name) => ({
    name,
    sha256: createHash('sha256')
      .update(readFileSync(join(held, name)))
      .digest('hex'),
  }));
  const Properties = propertiesOfDeploy();
  expect(Properties['migrations']).toEqual(named);
  expect(JSON.stringify(Properties)).not.toMatch(/create table|alter table|insert into/i);
}, 120_000);

/** What each secret holds, in the form of docs/deploying.md; nothing answers at these addresses. */
const nobody = { host: '127.0.0.1', port: 1, username: 'nobody', password: 'none', ssl: false };
const secretsHeld = {
  mysql: nobody,
  'mysql-upstream': nobody,
  'mysql-order': nobody,
  redis: { url: 'http://127.0.0.1:1', token: 'token' },
  payment: { app: 'app', key: 'key' },
  'upstream-keys': { [upstream.key]: [upstream.secret] },
};

describe('started with what the template gives, and nothing else', () => {
  const functions = deployedFunctions(app);
  const started = startedAsDeployed();
  const ids = functions.map(({ id }) => id);
  const drained = functions.flatMap(({ id, variables }) =>
    Object.keys(variables).some((name) => name.endsWith('_DEAD'))
      ? [arnOf('sqs', `signalbox-${id.replace('/', '-')}`)]
      : [],
  );
  const sending = (arn: string): [action: string, resource: string] => ['sqs:SendMessage', arn];

  test('every function is there', () => {
    expect(Object.keys(started).toSorted()).toEqual(functionIds());
  });

  test.each(ids)('%s asks for exactly the variables that it is given', (id) => {
    const { variables = {} } = functions.find((one) => one.id === id) ?? {};
    const told = Object.keys(variables).filter((name) => isOurs.test(name));
    expect(started[id]?.asked).toEqual(told.toSorted());
  });

  test.each(ids)(
    '%s says a clear outcome of its event, and does nothing that its role denies',
    (id) => {
      const { answer = '', denied, did = [] } = started[id] ?? {};
      const { variables = {} } = functions.find((one) => one.id === id) ?? {};
      expect(denied).toEqual([]);
      expect(answer).toMatch(outcomeOf(id, variables));
      if (variables['SECRET_MYSQL'] && !variables['OIDC_ISSUER'])
        expect(did).toContainEqual(expect.stringMatching(/GetSecretValue .*mysql/));
    },
  );

  test.each(ids)(
    'the role of %s allows what each of its variables is for, and opens no other secret, parameter, bus or queue',
    (id) => {
      const { variables = {}, statements = [] } = functions.find((one) => one.id === id) ?? {};
      const needed = [
        ...Object.entries(variables).flatMap(([name, value]) => needOf(name, value)),
        ...(id === 'platform/deliver-due' ? drained.map(sending) : []),
      ];
      for (const [action, resource] of needed)
        expect(allows(statements, action, resource), `${action} ${resource}`).toBe(true);
      const opened = statements
        .filter(({ actions }) => actions.some((action) => opening.includes(action)))
        .flatMap(({ resources }) => resources.map((arn) => arn.replace('??????', 'AbCdEf')));
      const others = needed.filter(([action]) => opening.includes(action));
      expect([...new Set(opened)].toSorted()).toEqual(
        [...new Set(others.map(([, arn]) => arn))].toSorted(),
      );
    },
  );

  /** Also what no event of this test reaches: sending, and taking from the function's own queue. */
  test('a consumer may take from its own queue, hide messages there, and send to its dead-letter queue', () => {
    const consumers = functions.filter(({ variables }) =>
      Object.keys(variables).some((name) => name.endsWith('_DEAD')),
    );
    expect(consumers).toHaveLength(6);
    for (const { id, statements } of consumers) {
      const arn = arnOf('sqs', `signalbox-${id.replace('/', '-')}`);
      for (const action of ['ReceiveMessage', 'DeleteMessage', 'ChangeMessageVisibility'])
        expect(allows(statements, `sqs:${action}`, arn), `${id} ${action}`).toBe(true);
      expect(allows(statements, 'sqs:SendMessage', `${arn}-dead`), id).toBe(true);
    }
  });

  test('platform/deliver-due may send to every queue that is drained', () => {
    const { statements = [] } = functions.find(({ id }) => id === 'platform/deliver-due') ?? {};
    for (const arn of drained)
      for (const action of ['sqs:GetQueueUrl', 'sqs:SendMessage'])
        expect(allows(statements, action, arn), arn).toBe(true);
  });

  function needOf(name: string, value: string): [action: string, resource: string][] {
    if (name.startsWith('SECRET_'))
      return [['secretsmanager:GetSecretValue', arnOf('secretsmanager', `secret:${value}-AbCdEf`)]];
    if (name.startsWith('SETTINGS_'))
      return [['ssm:GetParameter', arnOf('ssm', `parameter${value}`)]];
    if (name.startsWith('QUEUE_'))
      return [['sqs:SendMessage', arnOf('sqs', value.split('/').at(-1) ?? '')]];
    return name === 'BUS' ? [['events:PutEvents', arnOf('events', `event-bus/${value}`)]] : [];
  }

  function startedAsDeployed(): Readonly<Record<string, Started>> {
    const held = Object.fromEntries([
      ...Object.entries(secretsHeld).map(([name, value]) => [`signalbox/cloud/${name}`, value]),
      ...globSync('*.json', { cwd: join(root, 'config') }).map((name) => [
        `/signalbox/cloud/config/${name.replace('.json', '')}`,
        JSON.parse(readFileSync(join(root, 'config', name), 'utf8')),
      ]),
    ]);
    const given: Given = {
      held,
      functions: functions.map((one) => ({
        ...one,
        file: join(outdir, one.id, 'index.mjs'),
        event: firstEventOf(one.id, one.variables),
        remainingMs: remainingMs[one.id] ?? 4_000,
      })),
    };
    const [input, output] = [join(outdir, 'given.json'), join(outdir, 'started.json')];
    writeFileSync(input, JSON.stringify(given));
    const program = join(root, 'test/support/start-bundles.ts');
    const child = spawnSync(process.execPath, [program, input, output], {
      env: {},
      encoding: 'utf8',
    });
    if (child.status !== 0) throw new Error(child.stderr);
    return JSON.parse(readFileSync(output, 'utf8'));
  }
});

/** What infra/ gives a function that it does not give to every one. */
const isOurs = /^(?:SECRET|QUEUE|SETTINGS|OIDC)_|^BUS$|^BINLOG_/;
const opening = [
  ...['secretsmanager:GetSecretValue', 'ssm:GetParameter'],
  ...['events:PutEvents', 'sqs:SendMessage'],
];

/** It got as far as its database, or for a person's token as far as the issuer, and says that it is unavailable. */
function outcomeOf(id: string, variables: Readonly<Record<string, string>>): RegExp {
  if (describing.includes(id)) return /^\{"statusCode":200,/;
  if (variables['OIDC_ISSUER'] || variables['SECRET_UPSTREAM_KEYS'])
    return /^\{"statusCode":503,.*\\"code\\":\\"unavailable\\"/;
  if (Object.keys(variables).some((name) => name.endsWith('_DEAD')))
    return /^\{"batchItemFailures":\[\{"itemIdentifier":"[^"]+"\}\]\}$/;
  if (id === 'platform/migrate')
    return /"Status":"FAILED","Reason":"mysql: connect ECONNREFUSED 127\.0\.0\.1:1"/;
  return /^mysql(?:-upstream|-order)?: connect ECONNREFUSED 127\.0\.0\.1:1$/;
}

/** What the deploy hands over to platform/migrate. */
function propertiesOfDeploy(): Record<string, unknown> {
  const platform = app.node.findChild('platform') as Stack;
  const resources = Template.fromStack(platform).findResources(
    'AWS::CloudFormation::CustomResource',
  );
  const [{ Properties }] = Object.values(resources) as [{ Properties: Record<string, unknown> }];
  return Properties;
}

/** Of a route with a signature that is valid, or a token that somebody might have issued. */
function firstEventOf(id: string, variables: Readonly<Record<string, string>>): object {
  const [name = ''] = globSync('*.json', { cwd: join(root, 'events', id) }).toSorted();
  const event = eventOf<APIGatewayProxyEventV2>(id, name.replace('.json', ''));
  if (variables['SECRET_UPSTREAM_KEYS']) return signed(event);
  if (id === 'platform/migrate') return { ...event, ResourceProperties: propertiesOfDeploy() };
  if (!variables['OIDC_ISSUER']) return event;
  return { ...event, headers: { ...event.headers, authorization: 'Bearer to.be.checked' } };
}

/** Only what keeps the end of its time for something else needs more than a moment. */
const remainingMs: Readonly<Record<string, number>> = {
  'platform/deliver-due': 6_000,
  'platform/migrate': 15_000,
};
