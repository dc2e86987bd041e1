import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { functionIds } from '../infra/constructs/bundle.ts';
import { outcomes } from '../lib/platform/outcomes.ts';
import { root } from '../local/root.ts';

const ids = functionIds();
const text = (path: string) => readFileSync(join(root, path), 'utf8');

test('there are functions', () => {
  expect(ids).toContain('broker/apply-event');
});

test.each(ids)('%s has its test and its sample events, and is short', (id) => {
  expect(existsSync(join(root, `test/${id}.test.ts`))).toBe(true);
  const events = globSync(`events/${id}/*.json`, { cwd: root });
  expect(events.length).toBeGreaterThan(0);
  for (const event of events) expect(JSON.parse(text(event))).toBeTypeOf('object');
  expect(text(`functions/${id}.ts`).trim().split('\n').length).toBeLessThanOrEqual(25);
});

test.each(ids)('%s says in its first line what it does and exports only its handler', (id) => {
  const lines = text(`functions/${id}.ts`).split('\n');
  expect(lines[0]).toMatch(/^\/\*\* [A-Z].*\.( \*\/)?$|^\/\*\*$/);
  expect(lines.filter((line) => line.startsWith('export'))).toEqual([
    expect.stringMatching(/^export const handler = /),
  ]);
});

test('events, tests and functions mirror each other: nothing is left over', () => {
  const domains = new Set(ids.map(dirname));
  const folders = globSync('events/*/*', { cwd: root }).map((path) => path.slice('events/'.length));
  expect(folders.toSorted()).toEqual(ids);
  for (const domain of globSync('lib/*', { cwd: root }).map((path) => path.slice('lib/'.length)))
    expect([...domains, 'wechat']).toContain(domain);
  for (const domain of domains) expect(existsSync(join(root, `infra/${domain}.ts`))).toBe(true);
});

/** Use cases that share a file with others of their kind, and are found there. */
const sharedFiles: Readonly<Record<string, string>> = {
  'broker/publish-all-bases': 'publish-all',
  'broker/publish-all-companies': 'publish-all',
  'broker/publish-all-stores': 'publish-all',
  'broker/publish-base-changes': 'publish-changes',
  'broker/publish-company-changes': 'publish-changes',
  'broker/publish-store-changes': 'publish-changes',
};

const camelCase = (verb: string) => verb.replaceAll(/-(.)/g, (_, letter) => letter.toUpperCase());

test.each(ids.filter((id) => !id.startsWith('platform/')))(
  '%s finds its use case under its own name, in a file of that name',
  (id) => {
    const verb = id.slice(id.indexOf('/') + 1);
    const imports = [...text(`functions/${id}.ts`).matchAll(/import {([^}]+)} from '(.+)';/g)];
    const logic = imports.filter(([, , path]) => path?.endsWith(`/${sharedFiles[id] ?? verb}.ts`));
    expect(logic.map(([, names]) => names?.split(',').map((name) => name.trim()))).toEqual([
      expect.arrayContaining([camelCase(verb)]),
    ]);
  },
);

const filesInFolderMax = 14;
const folders = globSync('lib/*/**/', { cwd: root }).map((path) => path.replace(/\/$/, ''));

test.each(folders)('%s has few enough files to be read at a glance', (folder) => {
  const files = globSync('*.ts', { cwd: join(root, folder) });
  expect(files.length).toBeLessThanOrEqual(filesInFolderMax);
});

/** The folders below `lib/` that the files of each of them import from. */
function importedFolders(): Map<string, Set<string>> {
  const arrows = new Map<string, Set<string>>();
  for (const file of globSync('lib/**/*.ts', { cwd: root })) {
    const from = dirname(file);
    for (const [, path = ''] of text(file).matchAll(/ from '(\.[^']+)';/g)) {
      const to = dirname(join(from, path));
      if (to !== from) arrows.set(from, (arrows.get(from) ?? new Set()).add(to));
    }
  }
  return arrows;
}

test('folders below lib/ import each other one way only, and a domain\u2019s root none of its inner folders', () => {
  const arrows = importedFolders();
  const reached = (from: string, seen = new Set<string>()): Set<string> => {
    for (const to of arrows.get(from) ?? [])
      if (!seen.has(to)) {
        seen.add(to);
        reached(to, seen);
      }
    return seen;
  };
  expect(arrows.size).toBeGreaterThan(20);
  expect([...arrows.keys()].filter((folder) => reached(folder).has(folder))).toEqual([]);
  const isInner = (folder: string, of: string) => folder.startsWith(`${of}/`);
  expect(
    [...arrows].filter(([from, all]) => [...all].some((to) => isInner(to, from))).map(([f]) => f),
  ).toEqual([]);
});

test('docs/data.md says of every table how long its rows are kept', () => {
  const migrations = globSync('migrations/*.sql', { cwd: root }).map(text).join('');
  const made = Array.from(
    migrations.matchAll(/create table if not exists ([a-z_]+\.[a-z0-9_]+)/g),
    ([, table]) => table,
  );
  const kept = text('docs/data.md');
  expect(made.length).toBeGreaterThan(40);
  expect(made.filter((table) => !kept.includes(`\`${table}\``))).toEqual([]);
});

/** Runbooks of what a person sets out to do, which no alarm asks for. */
const procedures = ['charge-open.md', 'cut-over.md', 'restored-database.md'];

test('every runbook belongs to an alarm, every alarm has one', () => {
  const pages = globSync('infra/**/*.ts', { cwd: root }).map(text).join('');
  const kinds = pages.match(/kind: '[a-z-]+'/g) ?? [];
  const named = new Set(kinds.map((kind) => `${kind.slice(7, -1)}.md`));
  const written = globSync('*.md', { cwd: join(root, 'docs/runbooks') }).filter(
    (page) => page !== 'README.md',
  );
  expect(written.toSorted()).toEqual([...named, ...procedures].toSorted());
});

test('docs/outcomes.md lists every outcome with its meaning, in order', () => {
  const rows = text('docs/outcomes.md').match(/^\| `.+$/gm) ?? [];
  const words = Object.entries(outcomes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  expect(rows).toEqual(words.map(([word, meaning]) => `| \`${word}\` | ${meaning} |`));
});

test('the rows of the bug bank are its patches, each once and in order', () => {
  const rows = text('docs/bug-bank.md').match(/^\| \[.+$/gm) ?? [];
  const bugs = globSync('*.patch', { cwd: join(root, 'test/simulation/bugs') }).toSorted();
  expect(rows.map((row) => row.match(/^\| \[.+?\]\((.+?)\) /)?.[1])).toEqual(
    bugs.map((file) => `../test/simulation/bugs/${file}`),
  );
});

const sourceFolders = ['functions', 'lib', 'infra', 'local', 'ops'];

/** Runs dependency-cruiser on a tree: the names of the broken rules, and how many of our files it saw. */
function cruise(cwd: string): { broken: string[]; seen: number } {
  const cli = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const { stdout } = spawnSync(process.execPath, [cli, ...sourceFolders, '--output-type', 'json'], {
    cwd,
    maxBuffer: 64 << 20,
    encoding: 'utf8',
  });
  const { summary, modules } = JSON.parse(stdout);
  const broken = summary.violations.map(({ rule }: { rule: { name: string } }) => rule.name);
  const sources = modules.filter(({ source }: { source: string }) =>
    sourceFolders.includes(source.split('/')[0] ?? ''),
  );
  return { broken: [...new Set<string>(broken)].toSorted(), seen: sources.length };
}

test('the import arrows hold, and the tool saw every file', () => {
  const { broken, seen } = cruise(root);
  expect(broken).toEqual([]);
  expect(seen).toBeGreaterThanOrEqual(
    globSync('{functions,lib,infra,local,ops}/**/*.ts', { cwd: root }).length,
  );
}, 60_000);

test('each broken arrow is seen', () => {
  const copy = join(inject('dir'), 'planted');
  rmSync(copy, { recursive: true, force: true });
  for (const name of [...sourceFolders, 'tsconfig.json', '.dependency-cruiser.mjs', 'package.json'])
    cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const violations: Record<string, string> = {
    'lib/platform/planted.ts':
      "import '../broker/queues.ts';\nimport '../../functions/broker/apply-event.ts';\nimport '../../local/ports.ts';\n",
    'lib/planted/planted.ts': "import '../broker/queues.ts';\nimport '@middy/core';\n",
    'functions/broker/planted.ts': "import 'mysql2';\n",
    'infra/planted.ts': "import '../lib/broker/apply/bases.ts';\n",
    'ops/planted.ts': "import '../lib/platform/mysql/mysql.ts';\n",
    'local/planted.ts': "import '../ops/planted.ts';\n",
    'lib/broker/circle.ts': "import './ring.ts';\n",
    'lib/broker/ring.ts': "import './circle.ts';\n",
  };
  for (const [path, source] of Object.entries(violations)) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    writeFileSync(join(copy, path), source);
  }
  expect(cruise(copy).broken).toEqual([
    'domains-meet-in-events',
    'functions-import-lib-only',
    'handlers-are-made-in-platform',
    'infra-knows-names-only',
    'lib-stays-below',
    'no-circles',
    'nobody-imports-functions',
    'nobody-imports-ops',
    'ops-knows-names-only',
    'platform-knows-no-domain',
  ]);
}, 60_000);
