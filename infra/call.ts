/** The stack of the domain call. */
import type { App } from 'aws-cdk-lib';
import { accounting } from './call/accounting.ts';
import { charging } from './call/charging.ts';
import { type Backing, Domain, type Synthesis } from './constructs/synthesis.ts';

/** Makes the stack that charges calls to the owners who receive them. */
export function call(app: App, synthesis: Synthesis, backing: Backing): Domain {
  const stack = new Domain(app, 'call', synthesis, backing);

  charging(stack);
  accounting(stack);

  return stack;
}
