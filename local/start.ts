/**
 * Runs `npm start`: the whole product on this machine. It starts the servers, deploys, sends real changes through the
 * real entrances, shows what arrived, prints the addresses and keeps running (`--once`: ends after the table).
 */
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { showBroker } from './broker.ts';
import { showCall } from './call.ts';
import { showOrders } from './order.ts';
import { endWithParents } from './processes.ts';
import { progressOn } from './progress.ts';
import { root } from './root.ts';
import { type SimulatorName, simulators } from './simulators/all.ts';
import { type Ports, type Stack, startStack } from './stack.ts';

const portNames = ['mysql', 'redis', 'upstash', 'opensearch', 'aws', 'api'] as const;
const simulatorNames = Object.keys(simulators) as SimulatorName[];
const names = [...portNames, ...simulatorNames];

const usage = `npm start -- [--once] ${names.map((name) => `[--${name} PORT]`).join(' ')}

  --once   end after the table; the exit status says whether everything arrived
  ports    free ones where none is asked for; --redis is the first of six (6101 when free)`;

function optionsOf(args: readonly string[]): { once: boolean; ports: Ports } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    },
  });
  if (values['help']) {
    console.log(usage);
    process.exit(0);
  }
  const given: Record<string, unknown> = values;
  const portsOf = (asked: readonly string[]) =>
    Object.fromEntries(
      asked.flatMap((name) =>
        given[name] === undefined ? [] : [[name, portOf(name, given[name])]],
      ),
    );
  const ports = { ...portsOf(portNames), simulators: portsOf(simulatorNames) };
  return { once: values['once'] === true, ports };
}

function portOf(name: string, text: unknown): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new Error(`--${name} ${text}: a port is a number from 1 to 65535.`);
}

let stack: Stack | undefined;
let ending = false;

/**
 * Ends the program. The servers end with this process in any case (watcher.ts); this function waits until they have
 * ended.
 */
async function end(status: number): Promise<never> {
  if (!ending) {
    ending = true;
    await stack?.stop();
    process.exit(status);
  }
  return await new Promise(() => {});
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void end(signal === 'SIGINT' ? 130 : 143));
endWithParents(() => void end(1));

try {
  const { once, ports } = optionsOf(process.argv.slice(2));
  const progress = progressOn(process.stdout);
  console.log(styleText('bold', 'Signalbox'));
  stack = await startStack(join(root, '.local'), ports, progress);
  const shown = [
    await showBroker(stack, progress),
    await showCall(stack, progress),
    await showOrders(stack, progress),
  ];
  const arrived = shown.every((one) => one);
  if (once) await end(arrived ? 0 : 1);
  showAddresses(stack);
} catch (error) {
  if (!ending) console.error(`\n${styleText('red', 'It did not start.')} ${textWithCauses(error)}`);
  await end(1);
}

function textWithCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause
    ? `${error.message}\n  because: ${textWithCauses(error.cause)}`
    : error.message;
}

function showAddresses({ endpoints }: Stack): void {
  const { mysql, redis, upstash, opensearch, aws, api } = endpoints;
  const partners = Object.entries(endpoints.simulators).map(([name, url]) => `${name} ${url}`);
  console.log(`
Ready; all addresses are in .local/endpoints.json
  MySQL        ${mysql}
  Redis        ${redis.nodes.join(' ')}  (password ${redis.password})
  Upstash      ${upstash.url}  (token ${upstash.token})
  OpenSearch   ${opensearch}
  HTTP API     ${api}  (${api}/docs)
  AWS          ${aws}  (any credentials, region ${endpoints.region})
  Simulators   ${partners.join('\n               ')}
Ctrl-C ends everything.`);
}
