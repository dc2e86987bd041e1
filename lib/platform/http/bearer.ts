/** Checks bearer tokens of people against an OIDC issuer. */
import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import * as z from 'zod';
import { textOf, Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { variable } from '../lambda/config.ts';
import { oidcVariables } from '../names.ts';
import { Refused } from './refusal.ts';
import { type Caller, roles } from './route.ts';

const algorithms = ['RS256', 'ES256'];
const discoveryTimeoutMs = 3_000;
const keysTimeoutMs = 3_000;
const keysMaxAgeMs = 600_000;
/** The maximum difference between the issuer's clock and ours. */
const leewaySeconds = 10;
/**
 * The number of consecutive reloads of the keys for tokens that name an unknown key; one more is allowed each
 * `keysEverySeconds`.
 */
const keysInARowMax = 5;
const keysEverySeconds = 10;

/** https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });
const Claims = z.object({
  sub: z.string().min(1).max(150),
  roles: z.array(z.string()).default([]),
});

/**
 * Returns the check of bearer tokens: OIDC, with the keys of the issuer that infra/ configures. The keys are read for
 * the first token, and again, within a limit, for a token that names an unknown key.
 *
 * The check throws `unauthenticated`, or `Unavailable` if the issuer does not answer or is not configured. A person
 * without a role is a caller without entitlements.
 */
export function bearer(): (token: string) => Promise<Caller> {
  let keys: JWTVerifyGetKey | undefined;
  return async (token) => {
    const issuer = requiredVariable(oidcVariables.issuer);
    const audience = requiredVariable(oidcVariables.audience);
    keys ??= keysAt(await keysAddressOf(issuer));
    const requiredClaims = ['exp', 'sub'];
    const options = { issuer, audience, algorithms, requiredClaims, clockTolerance: leewaySeconds };
    const { payload } = await jwtVerify(token, keys, options).catch((error) => {
      if (error instanceof Unavailable || !(error instanceof errors.JOSEError)) throw error;
      throw new Refused('unauthenticated', `The token is not valid: ${error.message}.`);
    });
    const claims = Claims.safeParse(payload);
    if (claims.error)
      throw new Refused('unauthenticated', `The token is not valid: ${issuesOf(claims.error)}.`);
    const { sub, roles: tokenRoles } = claims.data;
    return { name: `person:${sub}`, may: roles.filter((role) => tokenRoles.includes(role)) };
  };
}

/** Reads a variable at the time of use, because signed requests are answered even without an issuer. */
function requiredVariable(name: string): string {
  try {
    return variable(name);
  } catch (cause) {
    throw new Unavailable('No issuer of tokens is named (context `oidcIssuer`, `oidcAudience`).', {
      cause,
    });
  }
}

async function keysAddressOf(issuer: string): Promise<URL> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(discoveryTimeoutMs) });
    if (!response.ok) throw new Error(`It answered ${response.status}.`);
    const found = Discovery.parse(await response.json());
    if (found.issuer !== issuer) throw new Error(`It says that it is ${found.issuer}.`);
    return new URL(found.jwks_uri);
  } catch (cause) {
    throw new Unavailable(`The issuer ${issuer} cannot be asked: ${textOf(cause)}`, { cause });
  }
}

/**
 * Returns a key lookup that distinguishes unreadable keys from a token with an unknown key, and reloads the keys for a
 * new one.
 */
function keysAt(address: URL): JWTVerifyGetKey {
  const remoteKeys = createRemoteJWKSet(address, {
    timeoutDuration: keysTimeoutMs,
    cacheMaxAge: keysMaxAgeMs,
    cooldownDuration: keysMaxAgeMs, // `reload` below reads the keys for a new one.
  });
  const mayReload = limiter(keysInARowMax, keysEverySeconds * 1000);
  let reloading: Promise<void> | undefined;

  async function reload(): Promise<boolean> {
    if (!reloading && !mayReload()) return false;
    reloading ??= remoteKeys.reload().finally(() => {
      reloading = undefined;
    });
    await reloading;
    return true;
  }

  return async (header, token) => {
    try {
      return await remoteKeys(header, token).catch(async (error) => {
        if (!(error instanceof errors.JWKSNoMatchingKey) || !(await reload())) throw error;
        return await remoteKeys(header, token);
      });
    } catch (error) {
      const aboutTheToken =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (aboutTheToken) throw error;
      throw new Unavailable(`The issuer's keys cannot be read: ${textOf(error)}`, { cause: error });
    }
  };
}

/** Returns a rate limiter that allows `max` at once, and then one per `everyMs`. */
function limiter(max: number, everyMs: number): () => boolean {
  let left = max;
  let since = Date.now();
  return () => {
    const more = Math.floor((Date.now() - since) / everyMs);
    left = Math.min(max, left + more);
    since += more * everyMs;
    if (!left) return false;
    left -= 1;
    return true;
  };
}
