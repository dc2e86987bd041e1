/** Functions that answer routes of the HTTP API. */
import { Validations } from 'aws-cdk-lib';
import { type HttpMethod, HttpRoute, HttpRouteKey } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { RouteName } from '../../lib/platform/http/route.ts';
import { type Id, resourceName } from '../../lib/platform/names.ts';
import { type Common, functionIn } from './functions.ts';
import { liveAlias } from './live-alias.ts';
import { identity, mysql, secret } from './resources.ts';
import type { Domain } from './synthesis.ts';

interface Answering extends Common {
  /** Concurrent requests, at most; API Gateway refuses more. */
  readonly atOnce: number;
}

/** Wires the function that answers a route of the HTTP API. It has the route's id, repeated here as in `drain`. */
export function route<const Name extends Id>(
  stack: Domain,
  id: NoInfer<Name>,
  { method, path, who }: RouteName<Name>,
  { atOnce, uses = [], ...common }: Answering,
): void {
  const checks = [
    ...(who.length ? [mysql('mysql')] : []),
    ...(who.includes('signed') ? [secret('upstream-keys')] : []),
    ...(who.some((one) => one !== 'signed') ? [identity.issuer, identity.audience] : []),
  ];
  // Only reserved concurrency keeps callers' invocations within the connections that a server accepts.
  const limits = { reserved: atOnce };
  const made = functionIn(stack, id, { ...common, uses: [...checks, ...uses] }, atOnce, limits);
  const httpRoute = new HttpRoute(stack, `${id}/route`, {
    httpApi: stack.backing.api,
    routeKey: HttpRouteKey.with(path, method as HttpMethod),
    integration: new HttpLambdaIntegration(resourceName(id), liveAlias(stack, id, made), {
      timeout: common.timeout,
    }),
  });
  Validations.of(httpRoute).acknowledge({
    id: 'AwsSolutions-APIG4',
    reason:
      'The function checks the caller itself (lib/platform/http/respond.ts): an authorizer cannot read a body, which is signed.',
  });
}
