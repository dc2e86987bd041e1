/** An app of the tests alone: a queue that hears of an event on the deployed stack's bus. */
import { App, CfnOutput } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { subscribe } from '../../infra/constructs/functions.ts';
import { queueIn } from '../../infra/constructs/queues.ts';
import { Domain, Synthesis } from '../../infra/constructs/synthesis.ts';

export const somethingHappened = { event: 'test/something-happened' } as const;
export const hearing = { id: 'hearing/note-something' } as const;

/** `stage` and the rest come from the CLI's context. */
function hearingApp(app: App): void {
  const nothing = undefined as never;
  const backing = { alarms: nothing, api: nothing, bucket: nothing, bus: nothing };
  const noBundles = app.outdir; // It has no function.
  const stack = new Domain(app, 'hearing', new Synthesis(app, noBundles), backing);
  Object.assign(backing, {
    alarms: Topic.fromTopicArn(
      stack,
      'alarms',
      stack.formatArn({ service: 'sns', resource: 'signalbox-alarms' }),
    ),
    bus: EventBus.fromEventBusName(stack, 'bus', 'signalbox'),
  });
  subscribe(stack, somethingHappened, hearing);
  new CfnOutput(stack, 'url', { value: queueIn(stack, hearing).queueUrl });
}

if (import.meta.main) hearingApp(new App());
