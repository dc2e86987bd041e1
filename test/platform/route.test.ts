import { expect, test } from 'vitest';
import * as z from 'zod';
import { route } from '../../lib/platform/route.ts';

const given = {
  id: 'test/show',
  method: 'GET',
  path: '/{b}/things/{a}',
  summary: 'Shows it.',
  parameters: z.object({ a: z.string(), b: z.string() }),
  answers: { 200: 'text/plain' },
} as const;

test('who may call is a list, in which anyone is nobody', () => {
  expect(route({ ...given, who: 'anyone' })).toEqual({ ...given, who: [] });
  expect(route({ ...given, who: 'signed' }).who).toEqual(['signed']);
  expect(route({ ...given, who: ['support', 'operator'] }).who).toEqual(['support', 'operator']);
});

test.each([
  ['/things/{a}', 'a,b'],
  ['/{a}/{b}/{c}', 'a,b'],
  ['/ab', 'a,b'],
] as const)('the path %s names other parameters than a and b', (path, named) => {
  expect(() => route({ ...given, who: 'anyone', path })).toThrow(
    `test/show: ${path} and its \`parameters\` (${named}) differ.`,
  );
});

test('a path without braces needs no parameters', () => {
  const { parameters: _, ...rest } = given;
  expect(route({ ...rest, who: 'anyone', path: '/things' }).path).toBe('/things');
  expect(() => route({ ...rest, who: 'anyone' })).toThrow('`parameters` () differ');
});
