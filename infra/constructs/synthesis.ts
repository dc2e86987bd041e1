/** One synthesis of the app, and the stack of a domain in it. */
import { join } from 'node:path';
import { type App, Stack } from 'aws-cdk-lib';
import type { IHttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2';
import type { IEventBus } from 'aws-cdk-lib/aws-events';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import {
  connectionsPerInstanceMax,
  type Id,
  type MysqlName,
  type SecretName,
} from '../../lib/platform/names.ts';
import { bundle, functionIds } from './bundle.ts';
import { connectionsMax } from './connections.ts';
import { type Context, contextOf } from './context.ts';
import type { Watched } from './watched-resources.ts';

/** What `backing` makes, or finds, for all domains. */
export interface Backing {
  readonly alarms: ITopic;
  /** The bus of the domains' events. */
  readonly bus: IEventBus;
  /** The product's one HTTP API; routes are added by the domains. */
  readonly api: IHttpApi;
  /** Our files: private, encrypted, versioned. */
  readonly bucket: Bucket;
  /** The network of functions that connect to databases; none in stage `local`. */
  readonly network?: Network;
  /** The address of OpenSearch; its user is in the secret `opensearch`. */
  readonly searchUrl?: string;
}

/** The network and the security group of the functions in it. */
export interface Network {
  readonly vpc: IVpc;
  readonly securityGroup: ISecurityGroup;
}

/** One synthesis: its context, its bundles, and a record of what was wired, which is checked at its end. */
export class Synthesis {
  readonly context: Context;
  readonly #bundles: string;
  readonly #wired: Id[] = [];
  readonly #drained: string[] = [];
  readonly #fed = new Set<string>();
  readonly #connections = new Map<MysqlName, number>();
  readonly #secrets = new Set<SecretName>();

  /** `bundles` is a folder that holds a bundle for each function; without it they are built. */
  constructor(app: App, bundles?: string) {
    this.context = contextOf(app);
    this.#bundles = bundles ?? join(app.outdir, 'bundles');
    if (!bundles) bundle(this.#bundles, { release: this.context.release });
  }

  get local(): boolean {
    return this.context.stage === 'local';
  }

  /** Whether the server of our own schemas is a cluster that `backing` makes. */
  get ownsMysql(): boolean {
    return !this.local && !this.context.mysqlSecurityGroup;
  }

  /** Registers a function as wired and returns the folder of its code. */
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

  /** The ids of all queues; complete once all domains are wired. */
  get queueIds(): readonly string[] {
    return this.#drained;
  }

  connects(server: MysqlName, instances: number): void {
    const before = this.#connections.get(server) ?? 0;
    this.#connections.set(server, before + instances * connectionsPerInstanceMax);
  }

  reads(secret: SecretName): void {
    this.#secrets.add(secret);
  }

  /** The secrets that at least one function reads. */
  get secrets(): SecretName[] {
    return [...this.#secrets].toSorted();
  }

  /** Every mistake in the wiring, one sentence each. */
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
      ...undrained.map((id) => `The queue ${id} is sent to, but no function drains it.`),
      ...unfed.map(
        (id) =>
          `No function sends to the queue ${id}; if an upstream system does, set \`external\`.`,
      ),
      ...crowded.map(
        ([server, sum]) =>
          `${sum} connections to ${server} are possible; it takes ${connectionsMax}. Lower atOnce.`,
      ),
    ];
  }
}

/** The stack of one domain; infra/<domain>.ts adds its functions with `scheduled`, `drain`, `byHand` … */
export class Domain extends Stack {
  readonly synthesis: Synthesis;
  readonly backing: Backing;
  /** What its dashboard shows. */
  readonly watched: Watched = { functions: [], queues: [], alarms: [] };

  constructor(app: App, name: string, synthesis: Synthesis, backing: Backing) {
    super(app, name, { stackName: `signalbox-${name}`, description: `Signalbox: ${name}` });
    this.synthesis = synthesis;
    this.backing = backing;
  }
}
