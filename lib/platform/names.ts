/** Names of cloud resources and variables, derived from function ids; lib/, infra/ and ops/ share them. */

/**
 * `Id` is the id of a function: its path below functions/, `<domain>/<verb-object>`. All other names are derived from
 * it here.
 */
export type Id = `${string}/${string}`;

/** The name of a cloud resource: `signalbox-broker-apply-event`. */
export const resourceName = (id: string): string => `signalbox-${id.replaceAll('/', '-')}`;

const upper = (id: string): string => id.replaceAll(/[^a-zA-Z0-9]/g, '_').toUpperCase();

/** Returns the name of the variable that holds the URL of a queue. */
export const queueVariable = (id: string): string => `QUEUE_${upper(id)}`;

/** Names of the secrets `signalbox/<stage>/<name>` in Secrets Manager; docs/deploying.md describes their content. */
export const secretNames = [
  'mysql',
  'mysql-upstream',
  'mysql-order',
  'redis',
  'weixin-redis',
  'opensearch',
  'wechat',
  'payment',
  'upstream-keys',
] as const;
export type SecretName = (typeof secretNames)[number];

/** Returns the name of the variable that holds the id of a secret. */
export const secretVariable = (name: SecretName): string => `SECRET_${upper(name)}`;

/** Returns the name of the variable that holds the name of the domain's configuration parameter. */
export const settingsVariable = (domain: string): string => `SETTINGS_${upper(domain)}`;

/** The variable that holds the name of the event bus. */
export const busVariable = 'BUS';

/**
 * A MySQL server, named like its secret. `mysql` holds our own schemas; the others belong to other systems and are
 * only read.
 */
export type MysqlName = Extract<SecretName, `mysql${string}`>;

/** Connections of one function instance to one server. infra/ checks their sum against the server's limit. */
export const connectionsPerInstanceMax = 2;

/** The variable that tells platform/migrate how many hours an Aurora cluster of ours keeps its binlog. */
export const binlogHoursVariable = 'BINLOG_RETENTION_HOURS';

/** The tag of functions that a person may start. `npm run ops` starts no other functions. */
export const startedTag = 'signalbox:started';
export const startedByHand = 'by hand';

/** The variables that hold the issuer of people's tokens and the audience that a token must name. */
export const oidcVariables = { issuer: 'OIDC_ISSUER', audience: 'OIDC_AUDIENCE' } as const;
