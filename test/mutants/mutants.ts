import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { root } from '../../local/root.ts';
import type { Figures } from '../support/tally.ts';

/** Modules without I/O whose tests are all that stands between a slip in them and production. */
const modules = [
  'lib/broker/{apply,publish}/{apply-in-halves,event-messages,invalidations,query-micro-shops}.ts',
  'lib/broker/{form-body,queues}.ts',
  'lib/call/{accounting/allocation,charge-states,contract-numbers,listings/desired-state}.ts',
  'lib/call/filtering/{broker-phone-rows,filter-rules}.ts',
  'lib/call/{migration/history-rows,phone-numbers,queues}.ts',
  'lib/order/decoding/{decode-events,indirect-writes,raw-events,statements,transactions}.ts',
  'lib/order/pushes/{new-push,push-expiry,push-log-entries,scenarios}.ts',
  'lib/platform/{colons,cut,errors,fields,ids,json,time}.ts',
  'lib/platform/http/{openapi,refusal,request,route,signature,signature-formats}.ts',
  'lib/platform/{lambda/mask,messaging/characters,partners/content-decoding}.ts',
];
/** Of the mutations of all modules together. */
const foundShareMin = 0.9;
const atOnce = 2;

const config = join(import.meta.dirname, 'stryker.config.json');
const page = join(root, 'docs/mutants.md');

const Place = z.object({ line: z.int(), column: z.int() });
const Report = z.object({
  files: z.record(
    z.string(),
    z.object({
      source: z.string(),
      mutants: z.array(
        z.object({
          status: z.string(),
          replacement: z.string().default(''),
          location: z.object({ start: Place, end: Place }),
        }),
      ),
    }),
  ),
});
type Mutant = z.infer<typeof Report>['files'][string]['mutants'][number];

interface Hunted {
  readonly module: string;
  readonly all: number;
  /** As docs/mutants.md names them. */
  readonly missed: readonly string[];
}

/** A mutation by the lines that it makes; what Stryker could not run at all is no mutation. */
function nameOf(source: string, { replacement, location: { start, end } }: Mutant): string {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  const before = lines[0]?.slice(0, start.column - 1) ?? '';
  const after = lines.at(-1)?.slice(end.column - 1) ?? '';
  return `${before}${replacement}${after}`.replaceAll(/\s+/g, ' ').trim();
}

const isMissed = ({ status }: Mutant) => status === 'Survived' || status === 'NoCoverage';
const isRun = ({ status }: Mutant) => status !== 'CompileError' && status !== 'Ignored';

/** Each module on its own, so that of its mutations only its own tests run. */
async function hunted(module: string, dir: string): Promise<Hunted> {
  const name = module.replaceAll('/', '-');
  const [own, report] = [join(dir, `${name}.config.json`), join(dir, `${name}.json`)];
  const settings = {
    ...JSON.parse(readFileSync(config, 'utf8')),
    ...{ mutate: [module], jsonReporter: { fileName: report } },
    tempDirName: `.local/mutants-${name}`,
  };
  writeFileSync(own, JSON.stringify(settings));
  const stryker = join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const child = spawn(process.execPath, [stryker, 'run', own], {
    ...{ cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  });
  const status = await new Promise((ended) => child.once('exit', ended));
  if (status !== 0) throw new Error(`Stryker ended with ${status} on ${module}.`);
  const { files } = Report.parse(JSON.parse(readFileSync(report, 'utf8')));
  const { source = '', mutants = [] } = files[module] ?? {};
  return {
    module,
    all: mutants.filter(isRun).length,
    missed: mutants.filter(isMissed).map((mutant) => nameOf(source, mutant)),
  };
}

/** What docs/mutants.md explains, by module: `- ``the line as it would be``: why`. */
function explainedIn(text: string): Map<string, Set<string>> {
  const sections = text.split(/^## /m).slice(1);
  return new Map(
    sections.map((section) => {
      const names = [...section.matchAll(/^- (`+) ?(.+?) ?\1: ./gm)].map(([, , name = '']) => name);
      return [section.split('\n')[0]?.trim() ?? '', new Set(names)];
    }),
  );
}

/** Makes every mutation of the modules: 90 % are found by their tests, and docs/mutants.md explains the rest. */
export async function mutants(): Promise<Figures> {
  const explained = explainedIn(readFileSync(page, 'utf8'));
  const dir = mkdtempSync(join(tmpdir(), 'signalbox-mutants-'));
  const done: Hunted[] = [];
  const waiting = modules.flatMap((glob) => globSync(glob, { cwd: root }).toSorted()).values();
  const lane = async () => {
    for (const module of waiting) {
      const one = await hunted(module, dir);
      done.push(one);
      console.log(`  ${module}: ${one.all - one.missed.length} of ${one.all}`);
      for (const name of one.missed)
        if (!explained.get(module)?.has(name)) console.log(`    not found, not explained: ${name}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  rmSync(dir, { recursive: true, force: true });
  const all = done.reduce((sum, one) => sum + one.all, 0);
  const missed = done.flatMap(({ module, missed }) => missed.map((name) => ({ module, name })));
  const unexplained = missed.filter(({ module, name }) => !explained.get(module)?.has(name));
  return {
    good: all - missed.length >= all * foundShareMin && unexplained.length === 0,
    title: 'mutations of the modules without I/O',
    facts: `${all - missed.length} of ${all} found; of the others ${unexplained.length} are not explained`,
  };
}
