import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { expect, test } from 'vitest';
import { handler } from '../../functions/platform/serve-openapi.ts';
import { ask } from '../support/http.ts';
import { eventOf } from '../support/lambda.ts';

test('the document is answered to anyone, as JSON', async () => {
  const event = eventOf<APIGatewayProxyEventV2>('platform/serve-openapi', 'get');
  const { status, headers, body } = await ask(handler, event);
  expect([status, headers['content-type']]).toEqual([200, 'application/json; charset=utf-8']);
  expect(body.openapi).toBe('3.1.0');
  expect(body.paths['/openapi.json'].get).toMatchObject({ operationId: 'platform/serve-openapi' });
});
