/** Decides from an owner's charges and top-ups whether their listings have to be online or offline. */

/** The reason why an owner's listings are offline, and the charge that showed it. Times compare as text, to the millisecond. */
export interface Cause {
  readonly at: string;
  readonly paymentId: string;
  readonly cause: string;
  /** True if a top-up removes the cause; false if a person has to repair the account first. */
  readonly endsWithMoney: boolean;
}

/** The input of the decision. It does not depend on the order or number of the messages. */
export interface ListingInputs {
  readonly latest: Cause | undefined;
  readonly toppedUpAt: string | undefined;
}

/** The state that the listings must have, and the request id for the listing service, which is the same on every attempt. */
export interface DesiredState {
  readonly to: 'online' | 'offline';
  readonly requestId: string;
}

/** Returns the later of two causes. At the same time the cause with the higher payment id wins. */
export function laterCause(one: Cause | undefined, other: Cause): Cause {
  if (!one || other.at > one.at) return other;
  if (other.at < one.at) return one;
  return BigInt(other.paymentId) > BigInt(one.paymentId) ? other : one;
}

const secondOf = (time: string): string => time.slice(0, 'YYYY-MM-DD HH:mm:ss'.length);

/**
 * Returns offline after a cause, and online after a top-up at or after the cause if the cause ends with money. Top-ups
 * have a resolution of one second: a top-up in the same second counts as the later one, because the next charge
 * corrects a wrong "online" and nothing would correct a wrong "offline".
 * Only the latest cause counts: an account that is short of money is no longer frozen.
 * Returns undefined if there is no cause: we never took the listings offline.
 */
export function desiredState({ latest, toppedUpAt }: ListingInputs): DesiredState | undefined {
  if (!latest) return undefined;
  const { at, paymentId, endsWithMoney } = latest;
  const over = endsWithMoney && toppedUpAt !== undefined && secondOf(toppedUpAt) >= secondOf(at);
  return over
    ? { to: 'online', requestId: `online-${paymentId}` }
    : { to: 'offline', requestId: `offline-${paymentId}` };
}
