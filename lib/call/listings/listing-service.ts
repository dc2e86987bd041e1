/** The client of the listing service. */
import * as z from 'zod';
import { reportFailure } from '../../platform/lambda/log.ts';
import type { Exchange } from '../../platform/partners/http-exchange.ts';
import { type Partner, partner } from '../../platform/partners/partner.ts';
import type { CallSettings } from '../settings.ts';
import type { DesiredState } from './desired-state.ts';

/** The count is for people only. Without it the listings are switched all the same. */
const Count = z.int().nonnegative().optional().catch(undefined);
const Switched = z.object({ code: z.literal(0), listings: Count });

/**
 * Switches all listings of an owner and returns how many there are, if the answer says so. The service is idempotent
 * by request id, so a request without an answer is repeated. Throws `PartnerUnavailable`.
 */
export async function switchListingsTo(
  listings: Partner,
  userId: string,
  { to, requestId }: DesiredState,
  reason: string,
): Promise<number | undefined> {
  const { listings: count } = await listings({
    method: 'POST',
    path: `/users/${userId}/${to}`,
    json: { request_id: requestId, reason },
    about: { user_id: userId, request_id: requestId },
    answer: Switched,
    repeatable: true,
  });
  if (count === undefined)
    reportFailure('odd-answer', { userId, requestId }, 'Listings were switched without a count.');
  return count;
}

const timeoutMs = 5_000;
const retry = { attemptsMax: 2, delayMs: 200 };

/** Returns the client. The address comes from the configuration document. */
export const listingService = (
  settings: () => Promise<Pick<CallSettings, 'listing_api_url'>>,
  exchange?: Exchange,
): Partner =>
  partner(
    {
      name: 'the listing service',
      baseUrl: async () => (await settings()).listing_api_url,
      timeoutMs,
      retry,
    },
    exchange,
  );
