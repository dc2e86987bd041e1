import { isConnectionLost, mysqlFaultOf } from './mysql-errors.ts';

/** A message that no retry can make succeed: it is set aside at once, with this text as its reason. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
}

/**
 * Not now: the message is put off until a time (a partner says "later", a quota is used up), or until a switch is
 * lifted, and is acknowledged. It may wait for a month and never ends on a dead-letter queue.
 */
export class Postponed extends Error {
  override readonly name = 'Postponed';
  readonly until: Date;
  /** The switch that must be lifted first. */
  readonly heldBy: string | undefined;

  constructor(
    until: Date,
    why: string,
    { heldBy, cause }: { heldBy?: string; cause?: unknown } = {},
  ) {
    super(why, cause === undefined ? undefined : { cause });
    this.until = until;
    this.heldBy = heldBy;
  }
}

/**
 * A partner did not answer, or not as it should: it is away for us. What it says in its own form, a refusal among it,
 * is an answer. It never counts as a database of ours being away, whatever its cause.
 */
export class PartnerUnavailable extends Error {
  override readonly name = 'PartnerUnavailable';
  readonly partner: string;
  /** `none`: the request certainly changed nothing there. `possible`: it may have been carried out. */
  readonly effect: 'none' | 'possible';
  /** It answered with a status below 500, though not as it should: it is there, and others may be asked about. */
  readonly answered: boolean;

  constructor(
    partner: string,
    effect: 'none' | 'possible',
    why: string,
    { cause, answered = false }: { cause?: unknown; answered?: boolean } = {},
  ) {
    super(`${partner} is away: ${why}`, cause === undefined ? undefined : { cause });
    this.partner = partner;
    this.effect = effect;
    this.answered = answered;
  }
}

/** Something of our own is away or not set up: the message goes back and is never set aside for it. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/**
 * What mysql2 says, without a code, of anything asked of a connection that it has lost. It hides the first error where
 * that is the rollback of a transaction in which the connection went.
 */
const lostBefore = 'connection is in closed state';

/** Whether an error, or what caused it, is our own or the upstream database being away. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof PartnerUnavailable) return false;
  if (error instanceof Unavailable) return true;
  // A conflict was retried in place before: others hold its rows for long, which is no fault of the message.
  if (mysqlFaultOf(error) || isConnectionLost(error)) return true;
  if (error.message.includes(lostBefore)) return true;
  return isUnavailable(error.cause);
}

/** Whether a connection on which this was answered is of no more use: lost, or of a server that can do nothing now. */
export function isConnectionClosed(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('fatal' in error && error.fatal === true) return true;
  return mysqlFaultOf(error) === 'unavailable' || isConnectionLost(error);
}

/** The text of anything thrown. */
export const textOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
