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
/** The issuer's clock and ours may differ by this much. */
const leewaySeconds = 10;
/** How often in a row the keys are read for tokens that name an unknown key; one more each `keysEverySeconds`. */
const keysInARowMax = 5;
const keysEverySeconds = 10;

/** https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });
const Claims = z.object({
  sub: z.string().min(1).max(150),
  roles: z.array(z.string()).default([]),
});

/**
 * The check of bearer tokens: OIDC, against the keys of the issuer that infra/ names. The keys are read when the
 * first token comes, and again at once when one names a key that is not among them, within a limit.
 *
 * The check throws `unauthenticated`, and `Unavailable` when the issuer cannot be asked or is not named. A person
 * without a role is a caller who may nothing.
 */
export function bearer(): (token: string) => Promise<Caller> {
  let keys: JWTVerifyGetKey | undefined;
  return async (token) => {
    const issuer = named(oidcVariables.issuer);
    const audience = named(oidcVariables.audience);
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
    const { sub, roles: held } = claims.data;
    return { name: `person:${sub}`, may: roles.filter((role) => held.includes(role)) };
  };
}

/** Read when it is needed: without an issuer signed requests are still answered. */
function named(name: string): string {
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

/** Tells keys that cannot be read from a token that names none of them, and looks for a key that is new. */
function keysAt(address: URL): JWTVerifyGetKey {
  const known = createRemoteJWKSet(address, {
    timeoutDuration: keysTimeoutMs,
    cacheMaxAge: keysMaxAgeMs,
    cooldownDuration: keysMaxAgeMs, // Reading them for a new key is ours.
  });
  const mayRead = limiter(keysInARowMax, keysEverySeconds * 1000);
  let reading: Promise<void> | undefined;

  async function readAgain(): Promise<boolean> {
    if (!reading && !mayRead()) return false;
    reading ??= known.reload().finally(() => {
      reading = undefined;
    });
    await reading;
    return true;
  }

  return async (header, token) => {
    try {
      return await known(header, token).catch(async (error) => {
        if (!(error instanceof errors.JWKSNoMatchingKey) || !(await readAgain())) throw error;
        return await known(header, token);
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

/** Allows `max` at once, and after that one each `everyMs`. */
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
