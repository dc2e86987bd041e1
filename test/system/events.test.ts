import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { GetQueueUrlCommand } from '@aws-sdk/client-sqs';
import { afterAll, expect, inject, test, vi } from 'vitest';
import * as z from 'zod';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { event } from '../../lib/platform/messaging/event.ts';
import { deliverBy, toBus } from '../../lib/platform/messaging/outbox.ts';
import { busVariable, resourceName } from '../../lib/platform/names.ts';
import { Processes, until } from '../../local/processes.ts';
import { root } from '../../local/root.ts';
import { deploy } from '../../local/stack.ts';
import { hearing, somethingHappened } from '../support/event-listener-app.ts';
import { sqs, take } from '../support/queues.ts';
import { started } from '../support/started.ts';

const happened = event(somethingHappened.event, z.object({ n: z.int() }));
const { emulator } = await started('stack');
const dir = mkdtempSync(join(inject('dir'), 'hearing-'));
const processes = new Processes(dir);
afterAll(() => processes.endAll());

test('an event on the bus reaches the queue of everyone who hears of it, as its body alone', async () => {
  Object.assign(process.env, emulator.env);
  await deploy(
    { dir: inject('dir'), emulator, processes },
    { app: join(root, 'test/support/event-listener-app.ts'), output: join(dir, 'cdk.out') },
  );
  vi.stubEnv(busVariable, 'signalbox');
  const deliver = deliverBy(bus());
  const rows = Array.from({ length: 25 }, (_, n) => ({
    id: String(n),
    version: 1,
    ...toBus(happened, { n }),
  }));
  const unheard = { id: '99', version: 1, destination: 'event:test/nobody-hears', body: '{}' };
  expect(await deliver([...rows, unheard])).toHaveLength(26);
  const { QueueUrl = '' } = await sqs().send(
    new GetQueueUrlCommand({ QueueName: resourceName(hearing.id) }),
  );
  const bodies: string[] = [];
  await until('all have been heard', async () => {
    bodies.push(...(await take(QueueUrl)).map(({ Body = '' }) => Body));
    return bodies.length >= 25;
  });
  expect(bodies.map((body) => JSON.parse(body).n).toSorted((a, b) => a - b)).toEqual(
    rows.map((_, n) => n),
  );
});
