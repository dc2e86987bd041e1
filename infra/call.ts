import type { App } from 'aws-cdk-lib';
import { accounting } from './call/accounting.ts';
import { charging } from './call/charging.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Calls are charged to the owners who get them. */
export function call(app: App, site: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'call', site, backing);

  charging(stack);
  accounting(stack);

  return stack;
}
