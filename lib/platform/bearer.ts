import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import * as z from 'zod';
import { issuesOf, variable } from './config.ts';
import { textOf, Unavailable } from './errors.ts';
import { oidcVariables } from './names.ts';
import { Refused } from './refusal.ts';
import { type Caller, roles } from './route.ts';

const algorithms = ['RS256', 'ES256'];
const discoveryTimeoutMs = 3_000;
const keysTimeoutMs = 3_000;

/** https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });
const Claims = z.object({
  sub: z.string().min(1).max(150),
  roles: z.array(z.string()).default([]),
});

/**
 * The check of bearer tokens: OIDC, against the keys of the issuer that infra/ names. The keys are read when the
 * first token comes and again when one is signed with a key that is not among them.
 *
 * The check throws `unauthenticated`, and `Unavailable` when the issuer cannot be asked or is not named. A person
 * without a role is a caller who may nothing.
 */
export function bearer(): (token: string) => Promise<Caller> {
  let keys: JWTVerifyGetKey | undefined;
  return async (token) => {
    const issuer = named(oidcVariables.issuer);
    const audience = named(oidcVariables.audience);
    keys ??= availably(
      createRemoteJWKSet(await keysAddressOf(issuer), { timeoutDuration: keysTimeoutMs }),
    );
    const options = { issuer, audience, algorithms, requiredClaims: ['exp', 'sub'] };
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

/** Tells keys that cannot be read from a token that names none of them. */
const availably =
  (keys: JWTVerifyGetKey): JWTVerifyGetKey =>
  async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      const aboutTheToken =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (aboutTheToken) throw error;
      throw new Unavailable(`The issuer's keys cannot be read: ${textOf(error)}`, { cause: error });
    }
  };
