/** Simulates an OIDC identity provider. */
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import * as z from 'zod';
import { audience } from '../users.ts';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

const tokenSeconds = 7 * 86_400;

/** The body of `POST /token`. All fields except the roles are for tests that need a token which must be refused. */
const Asked = z.strictObject({
  role: z.string().optional(),
  roles: z.array(z.string()).optional(),
  subject: z.string().optional(),
  issuer: z.string().optional(),
  audience: z.string().optional(),
  /** The lifetime in seconds. Negative: the token has expired; null: it never expires. */
  expiresInSeconds: z.int().nullable().optional(),
  /** The seconds from now before which the token is not valid. */
  startsInSeconds: z.int().optional(),
  /** The name of an RS256 key that the issuer publishes from now on. */
  newKey: z.string().min(1).optional(),
  /** `none` is unsigned; `HS256` is signed with the public key as if it were a secret. */
  algorithm: z.enum(['RS256', 'ES256', 'none', 'HS256']).optional(),
  /** Sign with an unpublished key under the name of a published one. */
  forged: z.boolean().optional(),
});
export type Asked = z.infer<typeof Asked>;

/** The published public keys by name. */
async function shown(kid: string, alg: string, { publicKey }: Key) {
  return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
}

interface Key {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

/** Makes an OIDC provider that grants everybody the requested roles. */
export async function startIdentity(port = 0): Promise<Simulator> {
  const keys = await keyPairs();
  const forgers = await keyPairs();
  const jwks = {
    keys: await Promise.all(Object.entries(keys).map(([alg, key]) => shown(alg, alg, key))),
  };
  return await startSimulator((url) => provider(url, keys, forgers, jwks), port);
}

type Keys = Readonly<Record<'RS256' | 'ES256', Key>>;

const keyPairs = async (): Promise<Keys> => ({
  RS256: await generateKeyPair('RS256', { extractable: true }),
  ES256: await generateKeyPair('ES256', { extractable: true }),
});

function provider(
  url: string,
  keys: Keys,
  forgers: Keys,
  jwks: { readonly keys: unknown[] },
): Partner {
  const newKeys = new Map<string, Key>();
  async function newKey(kid: string): Promise<Key> {
    const key = newKeys.get(kid) ?? (await generateKeyPair('RS256', { extractable: true }));
    if (!newKeys.has(kid)) jwks.keys.push(await shown(kid, 'RS256', key));
    newKeys.set(kid, key);
    return key;
  }
  const issued: { subject: string; roles: readonly string[] }[] = [];
  return {
    state: () => ({ issued }),
    reset: () => {
      issued.length = 0;
    },
    refuse: () => ({ status: 400, body: { error: 'invalid_request' } }),
    handle: async ({ method, path, body }) => {
      if (path === '/.well-known/openid-configuration')
        return {
          body: { issuer: url, jwks_uri: `${url}/jwks`, token_endpoint: `${url}/token` },
        };
      if (path === '/jwks') return { body: jwks };
      if (method !== 'POST' || path !== '/token') return undefined;
      const asked = Asked.parse(body ?? {});
      const { role, roles = role ? [role] : [], subject = role ?? 'nobody' } = asked;
      issued.push({ subject, roles });
      const signers = asked.newKey
        ? { ...keys, RS256: await newKey(asked.newKey) }
        : asked.forged
          ? forgers
          : keys;
      const access_token = await tokenFor(url, { ...asked, roles, subject }, signers);
      return { body: { access_token, token_type: 'Bearer', expires_in: tokenSeconds } };
    },
  };
}

async function tokenFor(url: string, asked: Asked, signers: Keys): Promise<string> {
  const { algorithm = 'RS256', expiresInSeconds = tokenSeconds, subject = '', roles } = asked;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: asked.issuer ?? url,
    aud: asked.audience ?? audience,
    sub: subject,
    roles,
    iat: now + Math.min(0, expiresInSeconds ?? 0),
    ...(expiresInSeconds !== null && { exp: now + expiresInSeconds }),
    ...(asked.startsInSeconds !== undefined && { nbf: now + asked.startsInSeconds }),
  };
  if (algorithm === 'none') return new UnsecuredJWT(claims).encode();
  const signedAs = algorithm === 'HS256' ? 'RS256' : algorithm;
  const { publicKey, privateKey } = signers[signedAs];
  const key =
    algorithm === 'HS256' ? new TextEncoder().encode(await exportSPKI(publicKey)) : privateKey;
  const kid = asked.newKey ?? signedAs;
  return await new SignJWT(claims).setProtectedHeader({ alg: algorithm, kid }).sign(key);
}

/** Requests a token from an identity provider. */
export async function tokenFrom(url: string, asked: Asked): Promise<string> {
  const response = await fetch(`${url}/token`, { method: 'POST', body: JSON.stringify(asked) });
  const { access_token } = z.object({ access_token: z.string() }).parse(await response.json());
  return access_token;
}

/** Returns bearer tokens that are valid for a week. */
export interface Tokens {
  readonly operator: string;
  readonly authoriser: string;
  readonly support: string;
}

export const tokensFrom = async (url: string): Promise<Tokens> => ({
  operator: await tokenFrom(url, { role: 'operator' }),
  authoriser: await tokenFrom(url, { role: 'authoriser' }),
  support: await tokenFrom(url, { role: 'support' }),
});
