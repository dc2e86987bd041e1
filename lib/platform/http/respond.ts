/** Makes the handlers of routes that need a signature or a token. */
import type { Kysely } from 'kysely';
import { secret } from '../lambda/secret.ts';
import type { PlatformTables } from '../tables.ts';
import { answer } from './answer.ts';
import { bearer } from './bearer.ts';
import { useNonce } from './nonces.ts';
import { Refused } from './refusal.ts';
import type { RawRequest } from './request.ts';
import type { AnyHandle, Caller, Entitlement, Route } from './route.ts';
import { signatureIn, UpstreamKeys } from './signature.ts';
import { throttle } from './throttle.ts';

interface Options {
  /** The database that stores nonces and request counts. */
  readonly mysql: Kysely<PlatformTables>;
  /** The keys of upstream systems; by default those of the secret. */
  readonly keys?: () => Promise<UpstreamKeys>;
}

/**
 * Makes the handler of a route that is not open to anyone. It identifies the caller by a signature or a token, counts
 * the request, and checks the caller against the route's `who`. Routes for anyone are made by `answer`, without these
 * checks.
 */
export function respond<Handle extends AnyHandle>(
  route: Route<Handle>,
  handle: NoInfer<Handle>,
  { mysql, keys: customKeys }: Options,
) {
  const acceptsSignatures = route.who.includes('signed');
  const keys = acceptsSignatures
    ? (customKeys ?? secret('upstream-keys', UpstreamKeys))
    : undefined;
  const personOf = route.who.some((one) => one !== 'signed') ? bearer() : undefined;
  if (!keys && !personOf)
    throw new Error(`${route.id} is open to anyone: make it with \`answer\`.`);

  return answer(route, identify, handle);

  async function identify(request: RawRequest): Promise<Caller> {
    const token = /^Bearer +(\S+)$/i.exec(request.headers['authorization'] ?? '')?.[1];
    if (personOf && token) return await admit(await personOf(token));
    if (!keys || request.headers['x-signalbox-signature'] === undefined)
      throw new Refused('unauthenticated', `This needs ${needed(route.who)}.`);
    const signature = signatureIn(request, await keys());
    const caller = await admit({ name: `upstream:${signature.key}`, may: ['signed'] });
    await useNonce({ mysql }, signature);
    return caller;
  }

  async function admit(caller: Caller): Promise<Caller> {
    await throttle({ mysql }, caller);
    if (caller.may.some((one) => route.who.includes(one))) return caller;
    throw new Refused('forbidden', `This needs ${needed(route.who)}.`);
  }
}

function needed(who: readonly Entitlement[]): string {
  const named = who.filter((one) => one !== 'signed');
  const token = named.length ? [`a bearer token with the role ${named.join(' or ')}`] : [];
  return [...(who.includes('signed') ? ['a signature'] : []), ...token].join(' or ');
}
