/** Why an owner's listings went offline: the charge that showed it. Times compare as text, to the millisecond. */
export interface Cause {
  readonly at: string;
  readonly paymentId: string;
  readonly cause: string;
  /** Whether it is over once there is money again; else somebody has to see to the account first. */
  readonly endsWithMoney: boolean;
}

/** All that decides, whatever came first, twice or late. */
export interface Standing {
  readonly latest: Cause | undefined;
  readonly toppedUpAt: string | undefined;
}

/** Where the listings have to be, and the id under which the listing service is asked for it: always the same one. */
export interface DesiredState {
  readonly to: 'online' | 'offline';
  readonly requestId: string;
}

/** The later of two causes; of two at the same time that of the later charge. */
export function laterOf(one: Cause | undefined, other: Cause): Cause {
  if (!one || other.at > one.at) return other;
  if (other.at < one.at) return one;
  return BigInt(other.paymentId) > BigInt(one.paymentId) ? other : one;
}

const secondOf = (time: string): string => time.slice(0, 'YYYY-MM-DD HH:mm:ss'.length);

/**
 * Offline from the latest cause on; online again after a top-up that is not older than it, if money was what was
 * missing. Top-ups are stamped to the second: one within the second of the cause is taken for the later of the two,
 * since the next charge corrects that, and nothing would correct the opposite.
 * That an account is short of money shows that it is not frozen any more: only the latest cause counts.
 * Undefined: nothing of ours has ever taken them offline.
 */
export function desiredState({ latest, toppedUpAt }: Standing): DesiredState | undefined {
  if (!latest) return undefined;
  const { at, paymentId, endsWithMoney } = latest;
  const over = endsWithMoney && toppedUpAt !== undefined && secondOf(toppedUpAt) >= secondOf(at);
  return over
    ? { to: 'online', requestId: `online-${paymentId}` }
    : { to: 'offline', requestId: `offline-${paymentId}` };
}
