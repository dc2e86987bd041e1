import { CreateSecretCommand, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { SecretName } from '../lib/platform/names.ts';
import { users } from './mysql.ts';

/** What upstream systems sign with here. */
export const upstream = { key: 'upstream-local', secret: 'upstream-local-secret' } as const;

/** Secrets exist before the deploy, here as in the cloud. */
export async function createSecrets(
  client: SecretsManagerClient,
  { host, port }: { readonly host: string; readonly port: number },
  redis: { readonly url: string; readonly token: string },
): Promise<void> {
  const secrets: Partial<Record<SecretName, object>> = {
    redis,
    mysql: { host, port, ...users.signalbox, ssl: false },
    'mysql-upstream': { host, port, ...users.upstream, ssl: false },
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
