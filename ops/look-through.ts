import { setTimeout as pause } from 'node:timers/promises';
import { type Letter, type LetterDeps, putBack, receive, sizeOf } from './dead-letters.ts';

export interface WalkDeps extends LetterDeps {
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly printError: (text: string) => void;
}

/** What becomes of letters: `gone` are deleted by the caller, the others are put back at the end. */
export interface Looked {
  readonly gone: readonly Letter[];
  readonly enough?: boolean;
}

export interface Walked {
  readonly looked: number;
  /** As SQS estimated it at the beginning, letters in flight included. */
  readonly of: number;
  /** `all`: no letter was left. The two limits: `--look`, and `lookSeconds`. */
  readonly end: 'all' | 'enough' | 'aborted' | 'letters' | 'seconds';
  /** Letters that were not seen because another command has them in flight. */
  readonly held: number;
}

/** Letters that a command looks at and leaves, unless --look says otherwise. */
export const lookMax = 10_000;
/** SQS keeps 120,000 messages of a queue in flight, and others look, too. */
export const lookLimit = 50_000;
/** For so long a command hides letters that it leaves where they are. */
export const lookSeconds = 60;
/** Putting back takes so long at most. */
const putBackSeconds = 15;
/** What a killed command had in flight is visible again after this time at the latest. */
export const holdSeconds = lookSeconds + putBackSeconds;

/** The sizes that SQS tells are estimates. */
const sizeErrorMax = 100;
/** Receives at once, one for each hundred letters that are left: a small queue needs one. */
const lanesMax = 10;
const lettersPerLane = 100;
const progressMs = 2_000;

/**
 * Shows a dead-letter queue batch by batch. SQS can only be asked for "some messages", so what was looked at stays
 * hidden until the end, or the same letters would come again; then it is put back, also when `look` throws or the
 * person wants to end. Bounded by the letters that are hidden and by the time since the first of them was: all are
 * visible again at that time, whether the process lives or not.
 */
export async function walk(
  deps: WalkDeps,
  url: string,
  lettersMax: number,
  look: (letters: readonly Letter[]) => Promise<Looked>,
): Promise<Walked> {
  const { sqs, signal, now } = deps;
  const { visible, inFlight } = await sizeOf(sqs, url);
  const of = visible + inFlight;
  const hidden = new Map<string, Letter>();
  const progress = progressOf(deps, of);
  let looked = 0;
  let end: Walked['end'] = 'all';
  try {
    end = await untilEnd();
  } finally {
    await putBack(sqs, url, [...hidden.values()]);
  }
  const held = end === 'all' ? await heldByOthers(deps, url, of - looked) : 0;
  return { looked, of, end, held };

  async function untilEnd(): Promise<Walked['end']> {
    // Letters that are moved may come again: so many in all are no more those that lay here at the beginning.
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
      // What is hidden comes again when its time is over: its newer handle is the one that counts.
      const fresh = letters.filter(({ messageId }) => !hidden.has(messageId));
      for (const letter of letters) hidden.set(letter.messageId, letter);
      if (failed) throw failed.reason;
      if (!letters.length) return 'all';
      if (!fresh.length) continue;
      looked += fresh.length;
      const { gone, enough } = await look(fresh);
      for (const { messageId } of gone) hidden.delete(messageId);
      if (enough) return 'enough';
      progress(looked);
    }
    return 'all';
  }
}

async function receiveSome(deps: WalkDeps, url: string, expected: number, endsAt: number) {
  const lanes = Math.min(lanesMax, Math.max(1, Math.floor(expected / lettersPerLane)));
  const seconds = Math.ceil((endsAt - deps.now()) / 1000) + putBackSeconds;
  const received = await Promise.allSettled(
    Array.from({ length: lanes }, () => receive(deps, url, seconds)),
  );
  return {
    letters: received.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])),
    failed: received.find((one) => one.status === 'rejected'),
  };
}

function progressOf({ now, printError }: WalkDeps, of: number): (looked: number) => void {
  const begunAt = now();
  let saidAt = begunAt;
  return (looked) => {
    if (now() - saidAt < progressMs) return;
    saidAt = now();
    const seconds = Math.round((saidAt - begunAt) / 1000);
    printError(`${inWords(looked)} of about ${inWords(of)} letters looked at, ${seconds} s`);
  };
}

/** SQS's numbers lag: letters count as held only where they were not seen and are still in flight after some looks. */
const sizeLooks = 5;

async function heldByOthers(
  { sqs, longPollSeconds }: WalkDeps,
  url: string,
  unseen: number,
): Promise<number> {
  let held = unseen;
  for (let look = 1; held > 0 && look <= sizeLooks; look++) {
    if (look > 1) await pause(longPollSeconds * 1000);
    const { inFlight } = await sizeOf(sqs, url);
    held = Math.min(held, inFlight);
  }
  return Math.max(held, 0);
}

const waitMs = 500;

/** Waits until no letter is in flight; no longer than another command may hide one. */
export async function waitUntilFree(deps: WalkDeps, url: string): Promise<void> {
  const { sqs, signal, now, printError } = deps;
  const until = now() + holdSeconds * 1000;
  let told = false;
  while (!signal.aborted && now() < until) {
    const { inFlight } = await sizeOf(sqs, url);
    if (!inFlight) return;
    if (!told)
      printError(`Waiting for ${inWords(inFlight)} letters in flight, ${holdSeconds} s at most.`);
    told = true;
    await pause(waitMs);
  }
}

export const inWords = (count: number): string => count.toLocaleString('en');
