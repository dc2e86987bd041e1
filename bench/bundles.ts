/** Measures the start of bundles beside bare functions. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildSync, type Metafile } from 'esbuild';
import { bundle, functionIds, options } from '../infra/constructs/bundle.ts';
import { ceilingOf } from '../infra/constructs/bundle-limits.ts';
import { deadLetterOf } from '../lib/platform/messaging/queue.ts';
import {
  busVariable,
  queueVariable,
  secretNames,
  secretVariable,
  settingsVariable,
} from '../lib/platform/names.ts';
import { table } from '../local/progress.ts';
import { root } from '../local/root.ts';
import { median } from './paired-timing.ts';

const rounds = 25;
const sizeRatioMax = 1.15;
const startRatioMax = 1.3;

/**
 * Size and start of every function beside a bundle that only imports what the function imports of libraries.
 * Start is the wall time of a process that imports the bundle and ends; the two take turns.
 */
export async function benchBundles(dir: string): Promise<string> {
  const ours = join(dir, 'ours');
  const metafile = bundle(ours);
  const rows = functionIds().map((id) => {
    const own = join(ours, id, 'index.mjs');
    const peer = buildPeer(metafile, id, dir);
    const [ownBytes, peerBytes] = [own, peer].map((file) => readFileSync(file).length) as [
      number,
      number,
    ];
    const [ownMs, peerMs] = startsOf(own, peer);
    const [size, start] = [ownBytes / peerBytes, ownMs / peerMs];
    const { bytesMax } = ceilingOf(filesOf(metafile, id));
    const good = size <= sizeRatioMax && start <= startRatioMax && ownBytes <= bytesMax;
    return [
      id,
      `${Math.round(ownBytes / 1000)} kB`,
      `${Math.round(peerBytes / 1000)} kB`,
      size.toFixed(2),
      `${ownMs.toFixed(0)} ms`,
      `${peerMs.toFixed(0)} ms`,
      start.toFixed(2),
      good ? '✓' : '✗',
    ];
  });
  const head = [
    'function',
    'size',
    'bare',
    `≤ ${sizeRatioMax}`,
    'start',
    'bare',
    `≤ ${startRatioMax}`,
    '',
  ];
  return `Bundles beside those that only import the same libraries (medians of ${rounds})\n${table(head, rows)}`;
}

/** The files that a function's bundle is made of. */
const filesOf = ({ outputs }: Metafile, id: string): string[] =>
  Object.keys(
    Object.entries(outputs).find(([path]) => path.endsWith(`${id}/index.mjs`))?.[1].inputs ?? {},
  );

/** What our files in a bundle import of libraries, and nothing else; what was shaken out of it is left out here, too. */
function buildPeer({ inputs, outputs }: Metafile, id: string, dir: string): string {
  const kept =
    Object.entries(outputs).find(([path]) => path.endsWith(`${id}/index.mjs`))?.[1].inputs ?? {};
  const filled = Object.keys(kept).filter((path) => kept[path]?.bytesInOutput);
  const imports = new Map<string, Set<string>>();
  for (const file of Object.keys(kept).filter((path) => /^(functions|lib)\//.test(path))) {
    const source = readFileSync(join(root, file), 'utf8');
    const inside = (path: string) => filled.some((kept) => kept.startsWith(dirname(path)));
    const libraries = new Set(
      inputs[file]?.imports.flatMap(({ path, original }) =>
        original && inside(path) ? [original] : [],
      ),
    );
    for (const [, names = '', from = ''] of source.matchAll(
      /^import (?!type)([^;]+?) from '([^.][^']*)';/gms,
    ))
      for (const name of libraries.has(from) ? namesIn(names, source) : [])
        imports.set(from, (imports.get(from) ?? new Set()).add(name));
  }
  const lines = [...imports].map(([from, names], index) => {
    const local = [...names].map((name) => `${name} as ${name}_${index}`);
    return `export { ${local.join(', ')} } from '${from}';`;
  });
  const folder = join(dir, 'bare', id);
  mkdirSync(folder, { recursive: true });
  const entry = join(root, `.local/bare-${id.replace('/', '-')}.mjs`); // Below the project, to find node_modules.
  mkdirSync(join(root, '.local'), { recursive: true });
  writeFileSync(entry, lines.join('\n'));
  const outfile = join(folder, 'index.mjs');
  const { outExtension: _, ...shared } = options;
  buildSync({ ...shared, absWorkingDir: root, entryPoints: [entry], outfile });
  return outfile;
}

/** `{ a, type B }` gives a; `* as z` what is used of it; `x` the default. */
function namesIn(clause: string, source: string): string[] {
  const namespace = /^\* as (\w+)$/.exec(clause)?.[1];
  if (namespace) {
    const uses = source.matchAll(new RegExp(`\\b${namespace}\\.([a-z]\\w*)`, 'g'));
    const types = new Set(['infer', 'input', 'output']);
    return [...new Set(Array.from(uses, ([, name = '']) => name))].filter(
      (name) => !types.has(name),
    );
  }
  if (!clause.startsWith('{')) return ['default'];
  const names = clause.replaceAll(/[{}\s]+/g, ' ').split(',');
  return names.map((name) => name.trim()).filter((name) => name && !name.startsWith('type '));
}

function startsOf(own: string, peer: string): [number, number] {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++)
    for (const [index, file] of [own, peer].entries()) {
      const ms = startOf(file);
      if (round > 0) times[index]?.push(ms); // The first warms the disk's cache.
    }
  return [median(times[0]), median(times[1])];
}

function startOf(file: string): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, ['-e', `import('${file}')`], {
    env,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${file} does not start: ${stderr}`);
  return performance.now() - began;
}

/** Any value will do for a variable: nothing is opened at start. */
const env = Object.fromEntries(variables().map((name) => [name, 'http://127.0.0.1:9/bench']));

function variables(): string[] {
  const ids = functionIds();
  return [
    busVariable,
    ...ids.flatMap((id) => [queueVariable(id), queueVariable(deadLetterOf({ id }).id)]),
    ...secretNames.map(secretVariable),
    ...ids.map((id) => settingsVariable(id.slice(0, id.indexOf('/')))),
  ];
}
