/** docs/test-times.md: how long each test file took, and which component test files may take longer than a minute. */

/** Longer than this a component test file fails the run, unless the page names it with a reason. */
export const fileSecondsMax = 60;
const slowestShown = 10;

export interface FileTime {
  /** From the project's folder. */
  readonly file: string;
  readonly seconds: number;
}

/** The seconds that the page names, by file. */
export const recordedSeconds = (page: string): Map<string, number> =>
  new Map(
    [...page.matchAll(/^\| (test\/\S+) \| ([\d.]+) \|$/gm)].map(([, file = '', seconds]) => [
      file,
      Number(seconds),
    ]),
  );

/** The files that the page allows to take longer, each with its reason. */
const allowed = (page: string): Map<string, string> =>
  new Map(
    [...page.matchAll(/^- `(test\/\S+)`: (.+)$/gm)].map(([, file = '', reason = '']) => [
      file,
      reason,
    ]),
  );

const slowestFirst = (times: readonly FileTime[]) =>
  times.toSorted((a, b) => b.seconds - a.seconds || a.file.localeCompare(b.file));

/** The slowest files as lines of text. */
export function slowest(times: readonly FileTime[]): string {
  const shown = slowestFirst(times).slice(0, slowestShown);
  return shown
    .map(({ file, seconds }) => `${seconds.toFixed(1).padStart(7)} s  ${file}`)
    .join('\n');
}

/** System tests wait for schedules and deploys; the simulation has a budget of its own (test/simulation/shares.ts). */
const withoutLimit = /^test\/(system|simulation)\//;

/** How much longer than on the page the files took together; 1 where they took no longer, or the page has none. */
function slownessOf(times: readonly FileTime[], page: string): number {
  const recorded = recordedSeconds(page);
  const known = times.filter(({ file }) => recorded.has(file) && !withoutLimit.test(file));
  const sum = (seconds: (time: FileTime) => number) =>
    known.reduce((total, time) => total + seconds(time), 0);
  const before = sum(({ file }) => recorded.get(file) ?? 0);
  return before ? Math.max(1, sum(({ seconds }) => seconds) / before) : 1;
}

/**
 * Component test files that took too long without being allowed to. On a machine that is slow, or busy with something
 * else, the limit grows with the time that all files took.
 */
export function tooSlow(times: readonly FileTime[], page: string): FileTime[] {
  const secondsMax = fileSecondsMax * slownessOf(times, page);
  return times.filter(
    ({ file, seconds }) =>
      seconds > secondsMax && !withoutLimit.test(file) && !allowed(page).has(file),
  );
}

/** The page with these times instead of those it has. */
export function withTimes(page: string, times: readonly FileTime[]): string {
  const start = page.indexOf('\n| file |');
  if (start < 0) throw new Error('docs/test-times.md has no table `| file | seconds |`.');
  const head = page.slice(0, start + 1);
  const rows = slowestFirst(times).map(
    ({ file, seconds }) => `| ${file} | ${seconds.toFixed(1)} |`,
  );
  return `${head}| file | seconds |\n| --- | ---: |\n${rows.join('\n')}\n`;
}
