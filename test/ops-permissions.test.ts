import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../local/root.ts';
import { permissions } from '../ops/permissions.ts';

const text = (path: string) => readFileSync(join(root, path), 'utf8');
const listed = Object.entries(permissions);

test('every SDK command that ops constructs has its IAM actions in the list, and no other has', () => {
  const constructed = globSync('ops/**/*.ts', { cwd: root }).flatMap((path) =>
    [...text(path).matchAll(/\bnew (\w+Command)\(/g)].map(([, command = '']) => command),
  );
  expect([...new Set(constructed)].toSorted()).toEqual(Object.keys(permissions).toSorted());
});

test('the tags that say whether a person may start a function need an action of their own', () => {
  expect(permissions.GetFunctionCommand.actions).toContain('lambda:ListTags');
});

test('actions that AWS grants for all resources only are granted on *, the others on ours', () => {
  const onAll = listed.filter(([, { resource }]) => resource === '*');
  expect(onAll.flatMap(([, { actions }]) => actions).toSorted()).toEqual([
    'cloudwatch:GetMetricData',
    'sqs:ListQueues',
  ]);
  for (const [, { resource }] of listed) expect(resource).toMatch(/^\*$|:signalbox-\*$/);
});

test('docs/operating.md grants exactly the actions of the list, each on the resource that it needs', () => {
  const documented = [
    ...text('docs/operating.md').matchAll(/^\| `([a-z]+:\w+)` +\| `([^`]+)` +\|/gm),
  ].map(([, action, resource]) => `${action} ${resource}`);
  const wanted = listed.flatMap(([, { actions, resource }]) =>
    actions.map((action) => `${action} ${resource}`),
  );
  expect(documented.toSorted()).toEqual(wanted.toSorted());
});
