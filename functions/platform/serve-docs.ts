/** Serves the API documentation for people: every route, its callers, inputs and answers. */
import * as broker from '../../lib/broker/routes.ts';
import * as call from '../../lib/call/routes.ts';
import { answer, anyone } from '../../lib/platform/http/answer.ts';
import { openApi, routesIn } from '../../lib/platform/http/openapi.ts';
import { docsPage } from '../../lib/platform/http/openapi-page.ts';
import * as platform from '../../lib/platform/http/routes.ts';

/** The page is built on the first request, to keep the cold start short. */
let page: ReturnType<typeof describe> | undefined;
const describe = () =>
  ({
    status: 200,
    outcome: 'described',
    body: docsPage(openApi(routesIn(platform, broker, call))),
  }) as const;

export const handler = answer(platform.serveDocsRoute, anyone, () => (page ??= describe()));
