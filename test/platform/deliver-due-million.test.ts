import { beforeEach, expect, test } from 'vitest';
import { resetDatabases, rowsOf } from '../support/databases.ts';
import { deliver, flood } from '../support/deliveries.ts';

beforeEach(resetDatabases);

test('ten thousand invalidations go in the first look beside a million other due rows, and no statement looks at these', async () => {
  await flood(1_000_000, "concat('queue:test/flooded-', a.id % 20)");
  await flood(10_000, "'invalidate'", '{"keys":["a"]}');
  const sent = new Map<string, number>();
  const count = async () => {
    const [row] = await rowsOf("show global status like 'Innodb_rows_read'");
    return Number(row?.['Value']);
  };
  const before = await count();
  await deliver(6, (rows, atMs) => {
    for (const { destination } of rows) {
      if (destination === 'invalidate') expect(atMs).toBe(0);
      sent.set(destination, (sent.get(destination) ?? 0) + 1);
    }
  });
  const examined = (await count()) - before;
  expect(sent.get('invalidate')).toBe(10_000);
  expect(sent.size).toBe(21);
  expect(Math.max(...[...sent].map(([name, rows]) => (name === 'invalidate' ? 0 : rows)))).toBe(
    200,
  );
  // Each of 14,000 rows is read when it is taken, moved and deleted.
  expect(examined).toBeLessThan(150_000);
}, 120_000);
