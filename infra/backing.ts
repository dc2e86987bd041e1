/** The stack `signalbox-backing`: what all domains run on. */
import { type App, CfnOutput, Lazy, Stack } from 'aws-cdk-lib';
import { EventBus, type IEventBus } from 'aws-cdk-lib/aws-events';
import { alarmTopic } from './backing/alarm-topic.ts';
import { httpApi } from './backing/api.ts';
import { bucket } from './backing/bucket.ts';
import { database } from './backing/database.ts';
import { network } from './backing/network.ts';
import { search } from './backing/search.ts';
import { settings } from './backing/settings.ts';
import { busName } from './constructs/names.ts';
import { secretId } from './constructs/secrets.ts';
import type { Backing, Synthesis } from './constructs/synthesis.ts';

/** What all domains need: network, database, bus, API, bucket, alarm topic. In stage `local` the servers run in local/. */
export function backing(app: App, synthesis: Synthesis): Backing {
  const { context } = synthesis;
  const stack = new Stack(app, 'backing', {
    stackName: 'signalbox-backing',
    description: 'Signalbox: backing',
  });
  const alarms = alarmTopic(stack, context);
  settings(stack, context);
  const everywhere = {
    alarms,
    bus: new EventBus(stack, 'bus', { eventBusName: busName }) as IEventBus,
    bucket: bucket(stack, context),
    api: httpApi(stack),
  };
  output(stack, 'AlarmsTopic', alarms.topicName);
  output(stack, 'Bucket', everywhere.bucket.bucketName);
  const secrets = () => synthesis.secrets.map((name) => secretId(context.stage, name)).join(' ');
  output(stack, 'SecretsRead', Lazy.string({ produce: secrets }));
  if (synthesis.local) return everywhere;

  const inside = network(stack, context, alarms);
  if (inside.address) output(stack, 'AddressForPartners', inside.address);
  database(stack, context, inside, alarms);
  const searchUrl = search(stack, context, inside, alarms);
  output(stack, 'SearchUrl', searchUrl);
  return { ...everywhere, network: inside, searchUrl };
}

function output(stack: Stack, name: string, value: string): void {
  new CfnOutput(stack, name, { value });
}
