/** Receives all letters of a dead-letter queue within limits, and puts back those that remain. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Letter, type LetterDeps, putBack, receive, sizeOf } from './dead-letters.ts';

export interface LookDeps extends LetterDeps {
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly printError: (text: string) => void;
}

/** What the caller did with a batch: it deleted `deleted`; all others are put back at the end. */
export interface BatchResult {
  readonly deleted: readonly Letter[];
  readonly enough?: boolean;
}

export interface LookResult {
  readonly looked: number;
  /** SQS's estimate of the queue's size at the beginning, letters in flight included. */
  readonly of: number;
  /** `all`: no visible letter was left. `letters` and `seconds`: the limits `--look` and `lookSeconds`. */
  readonly end: 'all' | 'enough' | 'aborted' | 'letters' | 'seconds';
  /** Letters that were not received because another command has them in flight. */
  readonly inFlightElsewhere: number;
}

/** Letters that a command receives and leaves by default. */
export const lookMax = 10_000;
/** The highest value of `--look`: SQS allows 120,000 messages in flight, and other commands need a share. */
export const lookLimit = 50_000;
/** How long a command hides letters that it leaves on the queue. */
export const lookSeconds = 60;
/** The longest that putting letters back takes. */
const putBackSeconds = 15;
/** Letters of a killed command are visible again after this time at the latest. */
export const hiddenSecondsMax = lookSeconds + putBackSeconds;

/** The error that SQS's estimate of a queue's size may have. */
const sizeErrorMax = 100;
/** Parallel receives: one for each hundred letters that are left. */
const lanesMax = 10;
const lettersPerLane = 100;
const progressMs = 2_000;

/**
 * Receives a dead-letter queue batch by batch and calls `look` for each. SQS returns any messages it likes, so received
 * letters stay hidden until the end, or the same ones would come again. They are put back at the end, also when `look`
 * throws or the command is interrupted. The number of hidden letters and the time since the first was hidden are limited;
 * after that time all are visible again, even if the process was killed.
 */
export async function lookThrough(
  deps: LookDeps,
  url: string,
  lettersMax: number,
  look: (letters: readonly Letter[]) => Promise<BatchResult>,
): Promise<LookResult> {
  const { sqs, signal, now } = deps;
  const { visible, inFlight } = await sizeOf(sqs, url);
  const of = visible + inFlight;
  const hidden = new Map<string, Letter>();
  const progress = progressPrinter(deps, of);
  let looked = 0;
  let end: LookResult['end'] = 'all';
  try {
    end = await lookUntilEnd();
  } finally {
    await putBack(sqs, url, [...hidden.values()]);
  }
  const inFlightElsewhere = end === 'all' ? await countInFlight(deps, url, of - looked) : 0;
  return { looked, of, end, inFlightElsewhere };

  async function lookUntilEnd(): Promise<LookResult['end']> {
    // Redriven letters can come back, so the total is limited: beyond it, no letter is one of the beginning.
    let left = of * 2 + sizeErrorMax;
    let endsAt = 0;
    while (left > 0) {
      if (signal.aborted) return 'aborted';
      if (hidden.size >= lettersMax) return looked < of ? 'letters' : 'all';
      if (!hidden.size) endsAt = now() + lookSeconds * 1000;
      if (now() >= endsAt) return 'seconds';
      const expected = Math.min(visible - looked, (lettersMax - hidden.size) * lettersPerLane);
      const { letters, failed } = await receiveSome(deps, url, expected, endsAt);
      left -= letters.length;
      // A hidden letter comes again when its visibility timeout is over; only its newest handle is valid.
      const fresh = letters.filter(({ messageId }) => !hidden.has(messageId));
      for (const letter of letters) hidden.set(letter.messageId, letter);
      if (failed) throw failed.reason;
      if (!letters.length) return 'all';
      if (!fresh.length) continue;
      looked += fresh.length;
      const { deleted, enough } = await look(fresh);
      for (const { messageId } of deleted) hidden.delete(messageId);
      if (enough) return 'enough';
      progress(looked);
    }
    return 'all';
  }
}

async function receiveSome(deps: LookDeps, url: string, expected: number, endsAt: number) {
  const lanes = Math.min(lanesMax, Math.max(1, Math.floor(expected / lettersPerLane)));
  const seconds = Math.ceil((endsAt - deps.now()) / 1000) + putBackSeconds;
  const results = await Promise.allSettled(
    Array.from({ length: lanes }, () => receive(deps, url, seconds)),
  );
  return {
    letters: results.flatMap((result) => (result.status === 'fulfilled' ? result.value : [])),
    failed: results.find((result) => result.status === 'rejected'),
  };
}

function progressPrinter({ now, printError }: LookDeps, of: number): (looked: number) => void {
  const startedAt = now();
  let printedAt = startedAt;
  return (looked) => {
    if (now() - printedAt < progressMs) return;
    printedAt = now();
    const seconds = Math.round((printedAt - startedAt) / 1000);
    printError(`${formatCount(looked)} of about ${formatCount(of)} letters received, ${seconds} s`);
  };
}

/** SQS's numbers lag, so letters count as in flight elsewhere only if this many reads in a row say so. */
const sizeReads = 5;

async function countInFlight(
  { sqs, longPollSeconds }: LookDeps,
  url: string,
  unseen: number,
): Promise<number> {
  let count = unseen;
  for (let read = 1; count > 0 && read <= sizeReads; read++) {
    if (read > 1) await pause(longPollSeconds * 1000);
    const { inFlight } = await sizeOf(sqs, url);
    count = Math.min(count, inFlight);
  }
  return Math.max(count, 0);
}

const waitMs = 500;

/** Waits until no letter is in flight, at most as long as a command may hide one. */
export async function waitUntilNoneInFlight(deps: LookDeps, url: string): Promise<void> {
  const { sqs, signal, now, printError } = deps;
  const until = now() + hiddenSecondsMax * 1000;
  let printed = false;
  while (!signal.aborted && now() < until) {
    const { inFlight } = await sizeOf(sqs, url);
    if (!inFlight) return;
    if (!printed)
      printError(
        `Waiting for ${formatCount(inFlight)} letters in flight, at most ${hiddenSecondsMax} s.`,
      );
    printed = true;
    await pause(waitMs);
  }
}

export const formatCount = (count: number): string => count.toLocaleString('en');
