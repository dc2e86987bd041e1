/** The routes of the platform itself. */
import * as z from 'zod';
import { route } from './route.ts';

export const serveOpenapiRoute = route({
  id: 'platform/serve-openapi',
  method: 'GET',
  path: '/openapi.json',
  summary: 'This description of the API, as OpenAPI 3.1.',
  who: 'anyone',
  answers: { 200: z.looseObject({ openapi: z.literal('3.1.0') }) },
});

export const serveDocsRoute = route({
  id: 'platform/serve-docs',
  method: 'GET',
  path: '/docs',
  summary: 'The same for people, as one page.',
  who: 'anyone',
  answers: { 200: 'text/html; charset=utf-8' },
});
