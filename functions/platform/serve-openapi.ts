/** Serves the OpenAPI document for client programs, generated from the same values as routes and validation. */
import * as broker from '../../lib/broker/routes.ts';
import * as call from '../../lib/call/routes.ts';
import { answer, anyone } from '../../lib/platform/http/answer.ts';
import { openApi, routesIn } from '../../lib/platform/http/openapi.ts';
import * as platform from '../../lib/platform/http/routes.ts';

/** The document is built on the first request, to keep the cold start short. */
let document: ReturnType<typeof describe> | undefined;
const describe = () =>
  ({
    status: 200,
    outcome: 'described',
    body: openApi(routesIn(platform, broker, call)),
  }) as const;

export const handler = answer(platform.serveOpenapiRoute, anyone, () => (document ??= describe()));
