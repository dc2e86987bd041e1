import { CreateSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SecretName } from '../lib/platform/names.ts';
import { mysqlUsers } from './users.ts';

/** What upstream systems sign with here. */
export const upstream = { key: 'upstream-local', secret: 'upstream-local-secret' } as const;

/** Our application at the payment centre, and the key it signs with. */
export const paymentAccount = { app: 'signalbox', key: 'payment-local-key' } as const;

export { mysqlUsers };

/** Secrets exist before the deploy, here as in the cloud. */
export async function createSecrets(
  client: SecretsManagerClient,
  { host, port }: { readonly host: string; readonly port: number },
  redis: { readonly url: string; readonly token: string },
): Promise<void> {
  const secrets: Partial<Record<SecretName, object>> = {
    redis,
    ...Object.fromEntries(
      Object.entries(mysqlUsers).map(([name, user]) => [name, { host, port, ...user, ssl: false }]),
    ),
    payment: paymentAccount,
    'upstream-keys': { [upstream.key]: [upstream.secret] },
  };
  for (const [name, value] of Object.entries(secrets))
    await client.send(
      new CreateSecretCommand({
        Name: `signalbox/local/${name}`,
        SecretString: JSON.stringify(value),
      }),
    );
}
