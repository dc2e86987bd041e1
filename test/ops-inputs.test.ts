import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { root } from '../local/root.ts';
import { runCli } from '../ops/cli.ts';
import { checkInput, inputs } from '../ops/inputs.ts';

/** Calls the CLI without a stack. */
async function ops(...args: string[]) {
  const output = { out: '', error: '' };
  const status = await runCli(args, {
    print: (text) => {
      output.out += `${text}\n`;
    },
    printError: (text) => {
      output.error += `${text}\n`;
    },
    endSignal: () => new AbortController().signal,
    now: Date.now,
    typedIn: root,
    makeSqs: () => {
      throw new Error('No command of this file may use SQS.');
    },
    longPollSeconds: 0,
  });
  return { status, ...output };
}

const ids = Object.keys(inputs);
const text = (path: string) => readFileSync(join(root, path), 'utf8');

test('`inputs` has the schema of every function that is started by hand', () => {
  const started = globSync('functions/*/*.ts', { cwd: root }).filter((path) =>
    text(path).includes('byHand('),
  );
  expect(ids.toSorted()).toEqual(
    started.map((path) => path.slice('functions/'.length, -'.ts'.length)).toSorted(),
  );
  for (const path of started) {
    const [, schema] = text(path).match(/ = byHand\((\w+), /) ?? [];
    // The schema of `call/reconcile` also accepts the event of its schedule.
    const from = path.endsWith('call/reconcile.ts') ? 'reconcile' : 'inputs';
    expect(text(path), path).toMatch(
      new RegExp(`import \\{[^}]*\\b${schema}\\b[^}]*\\} from '[./]+lib/[\\w/-]+/${from}\\.ts'`),
    );
  }
});

test.each(ids)(
  'run %s --help shows every field with its meaning, and examples that are valid',
  async (id) => {
    const { status, out, error } = await ops('run', id, '--help');
    expect([status, error]).toEqual([0, '']);
    const schema = inputs[id];
    const { properties = {} } = z.toJSONSchema(schema ?? z.any(), {
      io: 'input',
      unrepresentable: 'any',
    });
    expect(Object.keys(properties)).not.toEqual([]);
    for (const [name, field] of Object.entries(properties)) {
      const { description } = field as { description?: string };
      expect(description, name).toBeTruthy();
      expect(out).toMatch(new RegExp(`^  ${name} +\\S.*: `, 'm'));
      expect(out).toContain(description);
    }
    const examples = [...out.matchAll(/^ {2}npm run ops -- run (\S+) --input '([^']+)'$/gm)];
    expect(examples.length).toBeGreaterThan(0);
    for (const [, named, input = ''] of examples) {
      expect(named).toBe(id);
      checkInput(id, JSON.parse(input));
    }
  },
);

test.each(ids)('checkInput accepts the sample events of %s', (id) => {
  for (const path of globSync(`events/${id}/*.json`, { cwd: root })) {
    const event = JSON.parse(text(path));
    if (event.source !== 'aws.events') checkInput(id, event);
  }
});

const by = { by: 'lena', why: 'x' };

test.each([
  [
    'call/reconcile',
    { from: '2026-02-30' },
    'from: Expected a day that exists, such as 2026-11-20',
  ],
  [
    'call/reconcile',
    { from: '20.11.2026' },
    'from: Expected a day that exists, such as 2026-11-20',
  ],
  ['call/reconcile', {}, 'from: Expected a day that exists, such as 2026-11-20'],
  [
    'call/reconcile',
    { from: '2026-11-20', to: '2026-11-19' },
    'from: Expected `from` to be no later than `to`',
  ],
  ['call/reconcile', { from: '2026-11-20', to: '2027-12-25' }, 'to: Expected 400 days at most'],
  ['call/reconcile', { from: '2026-11-20', until: 'x' }, 'Unrecognized key: "until"'],
  [
    'broker/rewind-producers',
    { since: '2026-02-30 00:00:00' },
    'since: Expected a time that exists',
  ],
  [
    'broker/rewind-producers',
    { since: '2026-02-30T00:00:00Z' },
    'since: Expected a time that exists',
  ],
  [
    'broker/rewind-producers',
    { since: '2026-11-20 24:00:00' },
    'since: Expected a time that exists',
  ],
  ['broker/rewind-producers', { since: 'yesterday' }, 'since: Expected a time that exists'],
  [
    'broker/rewind-producers',
    { since: '2026-11-20 00:00:00', dryRun: false },
    'by: A run with `dryRun: false` needs `by` and `why`',
  ],
  [
    'broker/rewind-producers',
    { since: '2026-11-20 00:00:00', from: { part: 'brokers', time: 'x', id: '1' } },
    'from.time: Expected a time such as',
  ],
  ['call/advance-payment-ids', { ...by, from: '2026-13-01' }, 'from: Expected a day that exists'],
  [
    'call/settle-by-hand',
    { ...by, payment_id: '1', to: 'charged', proof: 'x', day: '2026-02-29' },
    'day: Expected a day that exists',
  ],
  [
    'order/repair-gap',
    { ...by, resume: { after: '1', began: 'x' } },
    'resume.began: Expected a time such as',
  ],
  [
    'order/resend-push',
    { ...by, order_id: 7001 },
    'order_id: Invalid input: expected string, received number',
  ],
  [
    'platform/set-switch',
    { ...by, name: 'x', state: 'maybe' },
    'state: Invalid option: expected one of "off"|"on"',
  ],
  ['platform/list-audit', { since: '2026-02-30 00:00:00' }, 'since: Expected a time that exists'],
  ...[
    '9999-12-31T23:59:59-01:00',
    '1969-12-31 23:59:59',
    '0000-01-01 00:00:00',
    '0000-01-01T00:00:00Z',
  ].map((since): [string, object, string] => [
    'platform/list-audit',
    { since },
    'since: Expected a time that exists',
  ]),
  ...[
    '2026-02-30 00:00:00',
    '2026-11-20 24:00:00',
    '2026-02-29',
    '1969-12-31 23:59:59',
    '2026-11-20.5',
  ].flatMap((time): [string, object, string][] => [
    [
      'broker/rewind-producers',
      { since: '2026-11-20 00:00:00', from: { part: 'brokers', time, id: '1' } },
      'from.time: Expected a time such as',
    ],
    [
      'order/repair-gap',
      { ...by, resume: { after: '1', began: time } },
      'resume.began: Expected a time such as',
    ],
  ]),
  ['call/reconcile', { from: '0000-01-01' }, 'from: Expected a day from 1970 to 9999'],
  [
    'order/resend-push',
    { ...by, order_id: '9999999999999999999' },
    'order_id: Expected the id of an order',
  ],
  ...['18446744073709551616', '-9223372036854775809', '1.5'].flatMap(
    (id): [string, object, string][] => [
      [
        'broker/rewind-producers',
        { since: '2026-11-20 00:00:00', from: { part: 'brokers', time: '2026-11-20', id } },
        'from.id: Expected an id',
      ],
      ['order/repair-gap', { ...by, resume: { after: id } }, 'resume.after: Expected an id'],
    ],
  ),
  ['platform/list-audit', { before: '9223372036854775808' }, 'before: Expected the number of'],
  ...['9223372036854775808', '007', '-1', '1.5', ''].flatMap((id): [string, object, string][] => [
    ['call/advance-payment-ids', { ...by, highest: id }, 'highest: Expected the id of a trade'],
    [
      'call/resume-charging',
      { ...by, scope: 'all', after: id },
      'after: Expected the id of a payment',
    ],
    [
      'call/resume-charging',
      { ...by, scope: `owner:${id}` },
      'scope: Expected all or owner:<user_id>',
    ],
  ]),
  ...['all ', 'owner', 'owner:42\n', 'x owner:42'].map((scope): [string, object, string] => [
    ...(['call/resume-charging', { ...by, scope }] as const),
    'scope: Expected all or owner:<user_id>',
  ]),
  ...['18446744073709551616', '1.5', ''].map((after): [string, object, string] => [
    ...(['call/import-history', { ...by, what: 'calls', after }] as const),
    'after: Expected an id, as text',
  ]),
])('%s refuses %j and says: %s', (id, input, reason) => {
  expect(() => checkInput(id, input)).toThrow(reason);
});

test.each([
  ['2026-11-20T00:00:00+08:00', '2026-11-20 00:00:00'],
  ['2026-11-19T16:00:00Z', '2026-11-20 00:00:00'],
  ['2026-11-20 00:00:00', '2026-11-20 00:00:00'],
])('the input of broker/rewind-producers reads the time %s as %s in Shanghai', (since, read) => {
  expect(inputs['broker/rewind-producers']?.parse({ since })).toMatchObject({ since: read });
});

test.each(['2026-11-20', '2026-11-20 23:59:59', '2026-11-20 00:00:00.123456', '2024-02-29'])(
  'the input of order/repair-gap accepts the time %s, which a database may return',
  (began) => {
    checkInput('order/repair-gap', { ...by, resume: { after: '1', began } });
  },
);

test.each([
  ['call/advance-payment-ids', { highest: '0' }],
  ['call/advance-payment-ids', { highest: '9223372036854775807' }],
  ['call/resume-charging', { scope: 'all', after: '0' }],
  ['call/resume-charging', { scope: 'owner:9223372036854775807', after: '820000000000' }],
  ['call/import-history', { what: 'money', part: 'income', after: '0' }],
  ['call/import-history', { what: 'money', part: 'income', after: '18446744073709551615' }],
])('the input of %s accepts the position %j of an earlier answer', (id, input) => {
  checkInput(id, { ...by, ...input });
});

test('run --help lists the functions that are started by hand when the given one is not', async () => {
  const { status, error } = await ops('run', 'broker/apply-event', '--help');
  expect(status).toBe(2);
  expect(error).toContain(
    'broker/apply-event is no function that is started by hand. These are: broker/publish-all-bases, ',
  );
});

const commands = [
  [],
  ['dead'],
  ['switch'],
  ['dead', 'list'],
  ['dead', 'peek'],
  ['dead', 'redrive'],
  ['dead', 'drop'],
  ['run'],
  ['switch', 'list'],
  ['switch', 'off'],
  ['switch', 'on'],
  ['state'],
  ['audit'],
  ['outbox'],
  ['outbox', 'list'],
  ['outbox', 'retry'],
  ['outbox', 'drop'],
];

test.each(commands)(
  '%s %s prints the same help for -h and --help, before and after the words',
  async (...words) => {
    const { out: wanted } = await ops(...words, '--help');
    expect(wanted).toContain(`npm run ops -- ${words.join(' ')}`);
    for (const args of [
      [...words, '-h'],
      ['-h', ...words],
      ['--help', ...words],
      ['help', ...words],
      ['--cloud', ...words, '-h'],
    ]) {
      const { status, out, error } = await ops(...args);
      expect([status, error, out], args.join(' ')).toEqual([0, '', wanted]);
    }
  },
);

test.each([
  [['--local', 'nowhere', 'state']],
  [['--local=nowhere', 'state']],
  [['state', '--local', 'nowhere']],
  [['--local', 'nowhere', 'dead', 'list']],
  [['dead', '--local', 'nowhere', 'list']],
])('%j uses the stack of the given folder', async (args) => {
  const { status, error } = await ops(...args);
  expect([status, error]).toEqual([
    2,
    expect.stringContaining('nowhere/endpoints.json is missing'),
  ]);
});

test.each([
  [['--cloud', '--local', 'x', 'state'], 'Use either --cloud or --local, not both.'],
  [
    ['--why', 'x', 'state'],
    '--why cannot precede a command: only --cloud, --local DIR and --help can.',
  ],
  [['dead', '--max', '3', 'list'], '--max cannot precede a command'],
  [['-x'], '-x cannot precede a command'],
  [['--cloud', 'burn'], 'There is no command `burn`.'],
])('%j is refused: %s', async (args, reason) => {
  const { status, error } = await ops(...args);
  expect([status, error]).toEqual([2, expect.stringContaining(reason)]);
});
