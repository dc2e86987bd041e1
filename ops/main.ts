/**
 * `npm run ops -- …`: what a person does by hand to the product as it runs, on this machine or in
 * the cloud.
 */
import { SQSClient } from '@aws-sdk/client-sqs';
import { runCli } from './cli.ts';
import { longPollSeconds } from './dead-letters.ts';

/** npm may pass on a Ctrl-C that the terminal has sent to this process already. */
const sameWishMs = 1000;

/** The first wish to end is heeded when letters have been put back, the second at once. */
function endOnSignals(): AbortSignal {
  const ending = new AbortController();
  let wishedAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (ending.signal.aborted && Date.now() - wishedAt > sameWishMs) process.exit(1);
      wishedAt ||= Date.now();
      ending.abort();
    });
  return ending.signal;
}

process.exitCode = await runCli(process.argv.slice(2), {
  print: (text) => console.log(text),
  printError: (text) => console.error(text),
  endSignal: endOnSignals,
  now: Date.now,
  typedIn: process.env['INIT_CWD'] ?? process.cwd(),
  makeSqs: (config) => new SQSClient(config),
  longPollSeconds,
});
