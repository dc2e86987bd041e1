// Replaces the SDK's chain of credential sources: Lambda passes credentials in environment variables only.
import { fromEnv } from '@aws-sdk/credential-provider-env';

export const defaultProvider = () => fromEnv();
