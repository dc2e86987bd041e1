import { Duration } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { expect, test } from 'vitest';
import { backing } from '../../infra/backing.ts';
import { scheduled } from '../../infra/constructs/functions.ts';
import { redis } from '../../infra/constructs/resources.ts';
import { Domain, Synthesis } from '../../infra/constructs/synthesis.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';

test('a function that uses the cache is told its secret and may read that one', () => {
  const app = appNamed('resources', { stage: 'local' });
  const synthesis = new Synthesis(app, emptyBundles());
  const stack = new Domain(app, 'platform', synthesis, backing(app, synthesis));
  scheduled(stack, 'platform/migrate', {
    schedule: Schedule.rate(Duration.minutes(1)),
    uses: [redis],
    timeout: Duration.seconds(10),
    harm: 'None, this is a test.',
  });
  const template = Template.fromStack(stack);
  const [made] = Object.values(template.findResources('AWS::Lambda::Function'));
  expect(made?.['Properties'].Environment.Variables.SECRET_REDIS).toBe('signalbox/local/redis');
  const policies = Object.values(template.findResources('AWS::IAM::Policy'));
  const statements = policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
  const reading = statements.filter(({ Action }) =>
    [Action].flat().includes('secretsmanager:GetSecretValue'),
  );
  expect(reading).toHaveLength(1);
  expect(JSON.stringify(reading[0].Resource)).toContain('secret:signalbox/local/redis-??????');
});
