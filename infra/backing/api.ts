/** The HTTP API, its access log and its limits. */
import { CfnOutput, RemovalPolicy, type Stack } from 'aws-cdk-lib';
import { AccessLogField, AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  HttpApi,
  HttpStage,
  type IHttpApi,
  LogGroupLogDestination,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';

/** Requests per second over all routes, and the burst on top of it; each caller has a limit of their own. */
const requestThrottle = { rateLimit: 500, burstLimit: 1_000 };

/** The one HTTP API. Its access log names routes, not paths, because a path may hold personal data. */
export function httpApi(stack: Stack): IHttpApi {
  const api = new HttpApi(stack, 'api', { apiName: 'signalbox', createDefaultStage: false });
  const logGroup = new LogGroup(stack, 'api/log', {
    logGroupName: '/aws/vendedlogs/signalbox/api', // The prefix under which API Gateway needs no policy of its own.
    retention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const line = {
    requestId: AccessLogField.contextRequestId(),
    ip: AccessLogField.contextIdentitySourceIp(),
    route: AccessLogField.contextRouteKey(),
    status: AccessLogField.contextStatus(),
    latencyMs: AccessLogField.contextResponseLatency(),
    error: AccessLogField.contextIntegrationErrorMessage(),
  };
  new HttpStage(stack, 'api/stage', {
    httpApi: api,
    autoDeploy: true,
    throttle: requestThrottle,
    accessLogSettings: {
      destination: new LogGroupLogDestination(logGroup),
      format: AccessLogFormat.custom(JSON.stringify(line)),
    },
  });
  new CfnOutput(stack, 'api/address', { key: 'apiAddress', value: api.apiEndpoint });
  return api as IHttpApi;
}
