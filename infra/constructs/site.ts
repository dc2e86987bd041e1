import { join } from 'node:path';
import { type App, Stack } from 'aws-cdk-lib';
import type { IHttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2';
import type { IEventBus } from 'aws-cdk-lib/aws-events';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import * as z from 'zod';
import { connectionsPerInstanceMax, type Id, type MysqlName } from '../../lib/platform/names.ts';
import { bundle, functionIds } from './bundle.ts';

/** What is given with `-c name=value`, or in cdk.context.json. README explains each. */
const Context = z.object({
  stage: z.enum(['local', 'cloud']).default('cloud'),
  alarmEmail: z.email().optional(),
  release: z.string().optional(),
  oidcIssuer: z.url().optional(),
  oidcAudience: z.string().min(1).optional(),
});

/** What `backing` makes, or finds, for all domains. */
export interface Backing {
  readonly alarms: ITopic;
  readonly bus: IEventBus;
  /** The product's one HTTP API; routes are added by the domains. */
  readonly api: IHttpApi;
  /** Where functions that open connections to databases run; none on one machine. */
  readonly network?: { readonly vpc: IVpc; readonly securityGroup: ISecurityGroup };
}

/** What one of our MySQL servers is told to accept; backing.ts and local/ set it. */
export const connectionsMax = 500;

/** One synthesis: its context, its bundles, and a record of what was wired, which is checked at its end. */
export class Site {
  readonly context: z.infer<typeof Context>;
  readonly #bundles: string;
  readonly #wired: Id[] = [];
  readonly #drained: string[] = [];
  readonly #fed = new Set<string>();
  readonly #connections = new Map<MysqlName, number>();

  constructor(app: App) {
    this.context = contextOf(app);
    this.#bundles = join(app.outdir, 'bundles');
    bundle(this.#bundles, { release: this.context.release });
  }

  get local(): boolean {
    return this.context.stage === 'local';
  }

  /** The folder that becomes the function's code. */
  wire(id: Id): string {
    if (!functionIds().includes(id))
      throw new Error(`infra/ wires ${id}, but functions/${id}.ts is not there.`);
    this.#wired.push(id);
    return join(this.#bundles, id);
  }

  feeds(queueId: string): void {
    this.#fed.add(queueId);
  }

  drains(queueId: string): void {
    this.#drained.push(queueId);
  }

  /** The ids of all queues of the product, once all domains are wired. */
  get queueIds(): readonly string[] {
    return this.#drained;
  }

  connects(server: MysqlName, instances: number): void {
    const before = this.#connections.get(server) ?? 0;
    this.#connections.set(server, before + instances * connectionsPerInstanceMax);
  }

  /** Everything that is wrong with the wiring, a sentence each. */
  mistakes(): string[] {
    const twice = (ids: readonly string[]) => ids.filter((id, index) => ids.indexOf(id) !== index);
    const unwired = functionIds().filter((id) => !this.#wired.includes(id));
    const undrained = [...this.#fed].filter((id) => !this.#drained.includes(id));
    const unfed = this.#drained.filter((id) => !this.#fed.has(id));
    const crowded = [...this.#connections].filter(([, sum]) => sum > connectionsMax);
    return [
      ...unwired.map(
        (id) => `functions/${id}.ts is not wired: add it to infra/${id.split('/')[0]}.ts.`,
      ),
      ...twice(this.#wired).map((id) => `${id} is wired twice.`),
      ...twice(this.#drained).map((id) => `The queue ${id} is drained twice.`),
      ...undrained.map((id) => `The queue ${id} is sent to, but nobody drains it.`),
      ...unfed.map((id) => `Nobody sends to the queue ${id}; if others do, say \`external\`.`),
      ...crowded.map(
        ([server, sum]) =>
          `${sum} connections to ${server} are possible; it takes ${connectionsMax}. Lower atOnce.`,
      ),
    ];
  }
}

function contextOf(app: App) {
  const keys = Object.keys(Context.shape);
  const given = Object.fromEntries(keys.map((key) => [key, app.node.tryGetContext(key)]));
  const context = Context.safeParse(given);
  if (context.success) return context.data;
  throw new Error(`The context is not valid:\n${z.prettifyError(context.error)}`);
}

/** The stack of one domain: what its page of `every`, `drain` … calls is written on. */
export class Domain extends Stack {
  readonly site: Site;
  readonly backing: Backing;

  constructor(app: App, name: string, site: Site, backing: Backing) {
    super(app, name, { stackName: `signalbox-${name}`, description: `Signalbox: ${name}` });
    this.site = site;
    this.backing = backing;
  }
}
