/** The process of `npm run ops -- …`, the command line with which a person operates a local or a deployed stack. */
import { SQSClient } from '@aws-sdk/client-sqs';
import { runCli } from './cli.ts';
import { longPollSeconds } from './dead-letters.ts';

/** Signals within this time count as one: npm may forward a Ctrl-C that the terminal has sent to this process too. */
const sameSignalMs = 1000;

/** Returns a signal that the first Ctrl-C aborts, so that letters are put back; the second ends the process at once. */
function endOnSignals(): AbortSignal {
  const ending = new AbortController();
  let signalledAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (ending.signal.aborted && Date.now() - signalledAt > sameSignalMs) process.exit(1);
      signalledAt ||= Date.now();
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
