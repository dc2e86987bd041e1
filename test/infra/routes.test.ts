import { Duration } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import { backing } from '../../infra/backing.ts';
import { route } from '../../infra/constructs/routes.ts';
import { Domain, Synthesis } from '../../infra/constructs/synthesis.ts';
import { serveDocsRoute } from '../../lib/platform/http/routes.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';

function templateWith(who: readonly ('signed' | 'operator')[], context = {}) {
  const app = appNamed(`routes-${who.join('-')}`, { stage: 'local', ...context });
  const synthesis = new Synthesis(app, emptyBundles());
  const stack = new Domain(app, 'platform', synthesis, backing(app, synthesis));
  route(
    stack,
    'platform/serve-docs',
    { ...serveDocsRoute, who },
    { atOnce: 7, timeout: Duration.seconds(5), harm: 'None.' },
  );
  return Template.fromStack(stack);
}

function madeWith(who: readonly ('signed' | 'operator')[], context = {}) {
  const template = templateWith(who, context);
  const [made] = Object.values(template.findResources('AWS::Lambda::Function'));
  const variables = made?.['Properties'].Environment.Variables;
  return { template, variables, reserved: made?.['Properties'].ReservedConcurrentExecutions };
}

test('an open route is told of no database, secret or issuer', () => {
  const { variables, reserved } = madeWith([]);
  expect(Object.keys(variables).toSorted()).toEqual(['POWERTOOLS_SERVICE_NAME', 'TZ']);
  expect(reserved).toBe(7);
});

test('a signed route gets the keys and the database, one for a role the issuer', () => {
  const signed = madeWith(['signed']);
  expect(signed.variables).toMatchObject({
    SECRET_MYSQL: 'signalbox/local/mysql',
    SECRET_UPSTREAM_KEYS: 'signalbox/local/upstream-keys',
  });
  expect(signed.variables).not.toHaveProperty('OIDC_ISSUER');
  const oidc = { oidcIssuer: 'https://identity.example.com', oidcAudience: 'signalbox' };
  const person = madeWith(['operator'], oidc);
  expect(person.variables).toMatchObject({
    SECRET_MYSQL: 'signalbox/local/mysql',
    OIDC_ISSUER: 'https://identity.example.com',
    OIDC_AUDIENCE: 'signalbox',
  });
  expect(person.variables).not.toHaveProperty('SECRET_UPSTREAM_KEYS');
});

test('only the API may start the function, and only by its route', () => {
  const { template } = madeWith(['signed']);
  const permissions = Object.values(template.findResources('AWS::Lambda::Permission'));
  expect(permissions).toHaveLength(1);
  const { Principal, SourceArn } = permissions[0]?.['Properties'] ?? {};
  expect(Principal).toBe('apigateway.amazonaws.com');
  expect(JSON.stringify(SourceArn)).toContain('/*/*/docs');
});
