import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { expect, test } from 'vitest';
import { handler } from '../../functions/platform/serve-docs.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

test('the page is answered to anyone, as HTML', async () => {
  const event = eventOf<APIGatewayProxyEventV2>('platform/serve-docs', 'get');
  const { statusCode, headers, body } = await handler(event, contextOf());
  expect([statusCode, headers?.['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
  expect(body).toContain('<h2>GET /docs</h2>');
  expect(body).toContain('<p>Who: anyone</p>');
});
