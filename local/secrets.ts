/** Creates the secrets of the local stack. */
import { CreateSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SecretName } from '../lib/platform/names.ts';
import { mysqlUsers } from './users.ts';

/** The key with which upstream systems sign requests to the local stack. */
export const upstream = { key: 'upstream-local', secret: 'upstream-local-secret' } as const;

/** Our application at the payment centre, with its signing key. */
export const paymentAccount = { app: 'signalbox', key: 'payment-local-key' } as const;

/** Creates the secrets of a stage. As in the cloud, they exist before the deploy. */
export async function createSecrets(
  client: SecretsManagerClient,
  { host, port }: { readonly host: string; readonly port: number },
  { url, token }: { readonly url: string; readonly token: string },
  stage = 'local',
): Promise<void> {
  const secrets: Partial<Record<SecretName, object>> = {
    redis: { url, token },
    ...Object.fromEntries(
      Object.entries(mysqlUsers).map(([name, user]) => [name, { host, port, ...user, ssl: false }]),
    ),
    payment: paymentAccount,
    'upstream-keys': { [upstream.key]: [upstream.secret] },
  };
  for (const [name, value] of Object.entries(secrets))
    await client.send(
      new CreateSecretCommand({
        Name: `signalbox/${stage}/${name}`,
        SecretString: JSON.stringify(value),
      }),
    );
}
