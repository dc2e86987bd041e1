import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { Processes } from '../../local/processes.ts';
import { startStack } from '../../local/stack.ts';

test('a second start beside a running one is refused and leaves its addresses alone', async () => {
  const dir = mkdtempSync(join(inject('dir'), 'second-'));
  const running = new Processes(dir);
  const file = join(dir, 'endpoints.json');
  writeFileSync(file, '{"aws":"http://localhost:1"}');
  const silent = { step: <Done>(_: string, work: () => Promise<Done>) => work() };
  await expect(startStack(dir, {}, silent as never)).rejects.toThrow(/runs|running/i);
  expect(readFileSync(file, 'utf8')).toBe('{"aws":"http://localhost:1"}');
  await running.endAll();
});
