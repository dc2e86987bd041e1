/** The error classes that decide what happens to a message or a request, and the tests that classify other errors. */
import { isConnectionLost, mysqlFaultOf } from './mysql-errors.ts';

/** A message that no retry can make succeed. `consume` rejects it at once, with this text as its reason. */
export class Rejected extends Error {
  override readonly name = 'Rejected';
}

/**
 * The message cannot be handled yet. `consume` postpones it until a time (a partner says "later", a quota is used up)
 * or until a kill switch is turned on again, and acknowledges it. A postponed message may wait for a month and never
 * reaches a dead-letter queue.
 */
export class Postponed extends Error {
  override readonly name = 'Postponed';
  readonly until: Date;
  /** The kill switch that must be turned on first. */
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
 * A partner gave no answer, or an answer that breaks its contract. An answer in the form of the contract, even a
 * refusal, is no `PartnerUnavailable`. This error never counts as an unavailable database of ours, whatever its cause.
 */
export class PartnerUnavailable extends Error {
  override readonly name = 'PartnerUnavailable';
  readonly partner: string;
  /** `none`: the request certainly had no effect at the partner. `possible`: it may have been carried out. */
  readonly effect: 'none' | 'possible';
  /**
   * The partner answered with a status below 500 that breaks its contract. It is up, so requests about other things
   * may still be sent.
   */
  readonly answered: boolean;

  constructor(
    partner: string,
    effect: 'none' | 'possible',
    why: string,
    { cause, answered = false }: { cause?: unknown; answered?: boolean } = {},
  ) {
    super(`${partner} is unavailable: ${why}`, cause === undefined ? undefined : { cause });
    this.partner = partner;
    this.effect = effect;
    this.answered = answered;
  }
}

/**
 * A resource of ours does not answer or is not set up. The message is redelivered and is never dead-lettered for this
 * reason.
 */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/**
 * The message of mysql2, which has no code, for a command on a connection that is already lost. It hides the first
 * error if the rollback of a transaction fails because the connection was lost within it.
 */
const closedStateMessage = 'connection is in closed state';

/** Returns whether an error, or one of its causes, means that our own or the upstream database is unavailable. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof PartnerUnavailable) return false;
  if (error instanceof Unavailable) return true;
  // A conflict was already retried in place. If it remains, other transactions hold the rows for long, and the message is not at fault.
  if (mysqlFaultOf(error) || isConnectionLost(error)) return true;
  if (error.message.includes(closedStateMessage)) return true;
  return isUnavailable(error.cause);
}

/**
 * Returns whether the connection that gave this error must be closed: it is lost, or its server cannot do anything
 * now.
 */
export function isConnectionClosed(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('fatal' in error && error.fatal === true) return true;
  return mysqlFaultOf(error) === 'unavailable' || isConnectionLost(error);
}

/** Returns the text of any thrown value. */
export const textOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
