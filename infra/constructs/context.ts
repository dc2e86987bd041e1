/** The CDK context: its keys, their schemas and defaults. */
import type { App } from 'aws-cdk-lib';
import * as z from 'zod';

/** Ids of existing resources: `a,b` on the command line, a list in cdk.context.json. */
const list = (item: z.ZodString) =>
  z
    .preprocess(
      (given) => (typeof given === 'string' ? given.split(',').map((part) => part.trim()) : given),
      z.array(item).min(2, 'give at least two, in different zones'),
    )
    .optional();
const named = (prefix: string) =>
  z
    .string()
    .regex(
      new RegExp(`^${prefix}-([0-9a-f]{8}|[0-9a-f]{17})$`),
      `must look like ${prefix}-0123456789abcdef0`,
    );

const address = z.url({ protocol: /^https?$/ }).optional();

const Given = z.object({
  stage: z.enum(['local', 'cloud']).default('cloud'),
  alarmEmail: z.email().optional(),
  release: z.string().optional(),
  oidcIssuer: z.url().optional(),
  oidcAudience: z.string().min(1).optional(),
  rollout: z.enum(['linear', 'at-once']).default('linear'),
  vpc: named('vpc').optional(),
  vpcZones: list(z.string().regex(/^[a-z]+(-[a-z]+)+-\d[a-z]$/, 'must look like us-east-1a')),
  vpcSubnets: list(named('subnet')),
  vpcSecurityGroup: named('sg').optional(),
  addressAllocation: named('eipalloc').optional(),
  mysqlSecurityGroup: named('sg').optional(),
  opensearchUrl: z.url({ protocol: /^https?$/ }).optional(),
  // Fields of configuration documents that differ between stages.
  broker_weidian_api: address,
  payment_base_api_url: address,
  listing_api_url: address,
  k3_url: address,
  singer_url: address,
  chargesPerMinuteMax: z.coerce.number().int().positive().optional(),
  chargesPerMinutePerOwnerMax: z.coerce.number().int().positive().optional(),
});

const vpcParts = ['vpcZones', 'vpcSubnets', 'vpcSecurityGroup'] as const;

/** What is given with `-c name=value`, or in cdk.context.json. docs/deploying.md explains each. */
const Context = Given.superRefine((given, { addIssue }) => {
  const wrong = (path: string, message: string) =>
    addIssue({ code: 'custom', path: [path], message });
  for (const part of vpcParts) {
    if (given.vpc && !given[part]) wrong(part, 'is needed with vpc');
    if (!given.vpc && given[part]) wrong(part, 'says nothing without vpc');
  }
  if (given.vpcZones && given.vpcSubnets && given.vpcZones.length !== given.vpcSubnets.length)
    wrong('vpcSubnets', 'must be one for each of vpcZones, in the same order');
  if (given.mysqlSecurityGroup && !given.vpc)
    wrong('mysqlSecurityGroup', 'is in a VPC that exists: name it with vpc');
  if (given.addressAllocation && given.vpc)
    wrong('addressAllocation', 'belongs to the gateway that we make; the one of vpc has its own');
});
export type Context = z.infer<typeof Context>;

export const contextKeys = Object.keys(Given.shape);

/** Returns the context of a synthesis. Throws an error with one line for each wrong value. */
export function contextOf(app: App): Context {
  const given = Object.fromEntries(contextKeys.map((key) => [key, app.node.tryGetContext(key)]));
  const context = Context.safeParse(given);
  if (context.success) return context.data;
  throw new Error(`The context is not valid:\n${z.prettifyError(context.error)}`);
}
