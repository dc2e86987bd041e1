import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../local/root.ts';
import { permissions } from '../ops/permissions.ts';

const text = (path: string) => readFileSync(join(root, path), 'utf8');
const listed = Object.entries(permissions);

test('`permissions` has exactly the SDK commands that ops/ constructs', () => {
  const constructed = globSync('ops/**/*.ts', { cwd: root }).flatMap((path) =>
    [...text(path).matchAll(/\bnew (\w+Command)\(/g)].map(([, command = '']) => command),
  );
  expect([...new Set(constructed)].toSorted()).toEqual(Object.keys(permissions).toSorted());
});

test('GetFunctionCommand needs lambda:ListTags, because tags mark the functions that are started by hand', () => {
  expect(permissions.GetFunctionCommand.actions).toContain('lambda:ListTags');
});

test('`permissions` uses * only for actions that have no resource, and signalbox-* for all others', () => {
  const onAll = listed.filter(([, { resource }]) => resource === '*');
  expect(onAll.flatMap(([, { actions }]) => actions).toSorted()).toEqual([
    'cloudwatch:GetMetricData',
    'sqs:ListQueues',
  ]);
  for (const [, { resource }] of listed) expect(resource).toMatch(/^\*$|:signalbox-\*$/);
});

test('docs/operating.md lists exactly the actions and resources of `permissions`', () => {
  const documented = [
    ...text('docs/operating.md').matchAll(/^\| `([a-z]+:\w+)` +\| `([^`]+)` +\|/gm),
  ].map(([, action, resource]) => `${action} ${resource}`);
  const wanted = listed.flatMap(([, { actions, resource }]) =>
    actions.map((action) => `${action} ${resource}`),
  );
  expect(documented.toSorted()).toEqual(wanted.toSorted());
});
