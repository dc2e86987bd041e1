import { expect, test } from 'vitest';
import { started } from '../support/started.ts';

const { api } = (await started('stack')).endpoints;

test('the deployed API describes itself to programs and to people', async () => {
  const response = await fetch(`${api}/openapi.json`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  const { paths } = (await response.json()) as { paths: object };
  expect(Object.keys(paths)).toContain('/docs');
  const page = await fetch(`${api}/docs`);
  expect([page.status, page.headers.get('content-type')]).toEqual([
    200,
    'text/html; charset=utf-8',
  ]);
  expect(await page.text()).toContain('<h2>GET /openapi.json</h2>');
});

test('what is no route is nothing', async () => {
  expect((await fetch(`${api}/nothing`)).status).toBe(404);
  expect((await fetch(`${api}/docs`, { method: 'POST' })).status).toBe(404);
});
