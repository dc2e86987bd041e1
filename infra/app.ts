/** The CDK app: all stacks of the product, platform first. */
import { App } from 'aws-cdk-lib';
import { backing } from './backing.ts';
import { broker } from './broker.ts';
import { call } from './call.ts';
import { dashboard } from './constructs/dashboards.ts';
import { Synthesis } from './constructs/synthesis.ts';
import { order } from './order.ts';
import { delivery, platform } from './platform.ts';

/** The whole product. Stage `local` and `cloud` are made from the same pages. `bundles`: see `Synthesis`. */
export function signalbox(app: App, bundles?: string): App {
  const synthesis = new Synthesis(app, bundles);
  const base = backing(app, synthesis);
  const first = platform(app, synthesis, base);
  const domains = [broker, call, order].map((domain) => domain(app, synthesis, base));
  for (const domain of domains) domain.addStackDependency(first);
  delivery(first);
  for (const domain of [first, ...domains]) dashboard(domain);

  const mistakes = synthesis.mistakes();
  if (mistakes.length) throw new Error(`The wiring is not right:\n  ${mistakes.join('\n  ')}`);
  return app;
}

if (import.meta.main) signalbox(new App());
