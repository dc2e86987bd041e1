/** Shows the progress of the steps of `npm start`. */
import { styleText } from 'node:util';

export interface Progress {
  /** Shows that `work` is running, for how long, and how it ended. */
  readonly step: <Result>(title: string, work: () => Promise<Result>) => Promise<Result>;
}

const seconds = (since: number) => `${((Date.now() - since) / 1000).toFixed(1)} s`;
const repaintMs = 200;

/**
 * Shows lines that count seconds while several steps run concurrently. Without a terminal it prints one line when a
 * step ends.
 */
export function progressOn(output: NodeJS.WriteStream): Progress {
  const running = new Map<string, number>();
  let painted = 0;
  const erase = () => {
    if (painted) output.write(`\x1b[${painted}A\x1b[J`);
    painted = 0;
  };
  const paint = () => {
    erase();
    for (const [title, since] of running) output.write(`  … ${title}  ${seconds(since)}\n`);
    painted = running.size;
  };
  const line = (text: string) => {
    if (!output.isTTY) return void output.write(`${text}\n`);
    erase();
    output.write(`${text}\n`);
    paint();
  };
  return {
    step: async (title, work) => {
      const since = Date.now();
      running.set(title, since);
      const timer = output.isTTY ? setInterval(paint, repaintMs) : undefined;
      try {
        const result = await work();
        running.delete(title);
        line(`  ${styleText('green', '✓')} ${title}  ${seconds(since)}`);
        return result;
      } catch (error) {
        running.delete(title);
        line(`  ${styleText('red', '✗')} ${title}  ${seconds(since)}`);
        throw error;
      } finally {
        clearInterval(timer);
      }
    },
  };
}

/** Formats rows as a table, with numeric columns aligned to the right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = [
    head,
    ...rows.map((row) =>
      row.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)),
    ),
  ];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[], right: (column: number) => boolean) =>
    row
      .map((cell, column) =>
        right(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('   ')
      .trimEnd();
  const hasNumbers = (column: number) =>
    !rows.length || rows.some((row) => typeof row[column] === 'number');
  const right = (column: number) => column > 0 && hasNumbers(column);
  const [first = [], ...others] = cells;
  const rule = '─'.repeat(widths.reduce((sum, width) => sum + width + 3, -3));
  return [line(first, right), rule, ...others.map((row) => line(row, right))].join('\n');
}
