import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import type { Deliver } from '../../lib/platform/messaging/outbox.ts';
import { type Page, type Scanned, type Stamped, scan } from '../../lib/platform/messaging/scan.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { plusSeconds, type WallTime } from '../../lib/platform/time.ts';
import { resetDatabases } from '../support/databases.ts';

type Row = Stamped & { readonly text: string };

const db = mysql<PlatformTables>('mysql');
const limits = { safetyLagSeconds: 5, overlapSeconds: 600, pageRowsMax: 3 };
const start: WallTime = '2026-11-21 00:00:00';

/** A table in memory, with a clock; rows appear when they commit, which may be long after their stamp. */
class Table {
  rows = new Map<string, Row>();
  now = start;
  readonly published: Row[] = [];

  write(id: string, text: string, stamp = this.now): void {
    this.rows.set(id, { id, stamp, text });
  }

  /** Called after each read, before anything is published. */
  afterRead: () => Promise<void> = async () => {};

  async run({ pagesMax = Number.POSITIVE_INFINITY } = {}): Promise<Scanned> {
    let pages = 0;
    const source = {
      name: 'test',
      now: async () => this.now,
      read: async ({ time, id, upTo, limit }: Page) => {
        const isAfter = (row: Row) =>
          row.stamp > time || (row.stamp === time && Number(row.id) > Number(id));
        const page = [...this.rows.values()]
          .filter((row) => row.stamp <= upTo && isAfter(row))
          .toSorted((a, b) => a.stamp.localeCompare(b.stamp) || Number(a.id) - Number(b.id))
          .slice(0, limit);
        await this.afterRead();
        return page;
      },
    };
    const remaining = () => (pages++ < pagesMax ? 180_000 : 0);
    const deliver: Deliver = async (rows) => {
      this.published.push(...rows.map(({ body }) => JSON.parse(body)));
      return [...rows];
    };
    return await scan({ mysql: db, deliver }, source, limits, remaining, (rows) =>
      rows.map((row) => ({ destination: 'queue:test/rows', body: JSON.stringify(row) })),
    );
  }

  pass(seconds: number): void {
    this.now = plusSeconds(this.now, seconds);
  }
}

beforeEach(resetDatabases);

test('the first run says so and begins an overlap ago', async () => {
  const table = new Table();
  table.write('1', 'old', plusSeconds(start, -606));
  table.write('2', 'recent', plusSeconds(start, -604));
  expect(await table.run()).toEqual({
    outcome: 'published',
    read: 1,
    published: 1,
    lagSeconds: 5,
    firstRun: true,
  });
  expect(table.published.map(({ id }) => id)).toEqual(['2']);
  expect(await table.run()).toMatchObject({ outcome: 'nothing-new', published: 0 });
});

test('a run that is out of time goes on where it stopped, however little it may do', async () => {
  const table = new Table();
  await table.run();
  for (let id = 1; id <= 20; id++) table.write(String(id), 'a');
  table.pass(60);
  const outcomes: string[] = [];
  for (let run = 0; run < 8; run++) outcomes.push((await table.run({ pagesMax: 1 })).outcome);
  expect(outcomes.slice(0, 6)).toEqual(Array.from({ length: 6 }, () => 'out-of-time'));
  expect(table.published.map(({ id }) => Number(id))).toEqual(
    Array.from({ length: 20 }, (_, index) => index + 1),
  );
  expect(await table.run()).toMatchObject({ outcome: 'nothing-new' });
});

test('two runs at once: one moves the cursor, the other says that it was overtaken', async () => {
  const table = new Table();
  await table.run();
  table.write('1', 'a');
  table.pass(60);
  let reads = 0;
  const bothHaveRead = Promise.withResolvers<void>();
  table.afterRead = async () => {
    reads += 1;
    if (reads === 2) bothHaveRead.resolve();
    await bothHaveRead.promise;
  };
  const both = await Promise.all([table.run(), table.run()]);
  expect(both.map(({ outcome }) => outcome).toSorted()).toEqual(['fenced-off', 'published']);
  expect(new Set(table.published.map(({ id }) => id))).toEqual(new Set(['1']));
});

type Step =
  | { readonly do: 'change'; readonly id: number; readonly lateSeconds: number }
  | { readonly do: 'pass'; readonly seconds: number }
  | { readonly do: 'run'; readonly pagesMax: number };

test('model: whatever commits up to 300 s after its stamp is published, in its last version, and no version twice', async () => {
  const change = fc.record({
    do: fc.constant('change' as const),
    id: fc.integer({ min: 1, max: 12 }),
    // Up to 300 s late, or by a clock that is up to 5 s ahead.
    lateSeconds: fc.oneof(fc.constant(0), fc.integer({ min: -5, max: 300 })),
  });
  const pass = fc.record({
    do: fc.constant('pass' as const),
    seconds: fc.integer({ min: 0, max: 90 }),
  });
  const runs = fc.record({
    do: fc.constant('run' as const),
    pagesMax: fc.integer({ min: 1, max: 4 }),
  });
  const steps = fc.array(fc.oneof(change, pass, runs), { minLength: 5, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(steps, async (history: readonly Step[]) => {
      await resetDatabases();
      const table = new Table();
      await table.run();
      let version = 0;
      for (const step of history) {
        if (step.do === 'pass') table.pass(step.seconds);
        else if (step.do === 'run') await table.run({ pagesMax: step.pagesMax });
        else
          table.write(String(step.id), `v${version++}`, plusSeconds(table.now, -step.lateSeconds));
      }
      table.pass(20);
      await table.run();
      const last = new Map(table.published.map((row) => [row.id, row.text]));
      for (const { id, text } of table.rows.values()) expect(last.get(id)).toBe(text);
      const texts = table.published.map(({ text }) => text);
      expect(new Set(texts).size).toBe(texts.length);
    }),
    { numRuns: 60 },
  );
}, 180_000);
