/**
 * `<domain>/<verb-object>`: the path of a function below functions/, and the only name it has.
 * Everything else that is named after it is derived here.
 */
export type Id = `${string}/${string}`;

/** The name of a cloud resource: `signalbox-broker-apply-event`. */
export const resourceName = (id: string): string => `signalbox-${id.replaceAll('/', '-')}`;

const upper = (id: string): string => id.replaceAll(/[^a-zA-Z0-9]/g, '_').toUpperCase();

/** The variable in which a function finds the URL of a queue. */
export const queueVariable = (id: string): string => `QUEUE_${upper(id)}`;

/** What lies in Secrets Manager as `signalbox/<stage>/<name>`; docs/deploying.md says what each holds. */
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

/** The variable in which a function finds the id of a secret. */
export const secretVariable = (name: SecretName): string => `SECRET_${upper(name)}`;

/** The variable in which a function finds the name of its domain's configuration parameter. */
export const settingsVariable = (domain: string): string => `SETTINGS_${upper(domain)}`;

/** The variable in which a function finds the name of the event bus. */
export const busVariable = 'BUS';

/** A MySQL server, named as its secret is: `mysql` holds our own schemas, the others belong to others and are only read. */
export type MysqlName = Extract<SecretName, `mysql${string}`>;

/** Connections of one running instance to one server; infra/ adds them up against the server's limit. */
export const connectionsPerInstanceMax = 2;

/** The variable in which platform/migrate finds for how long an Aurora cluster of ours keeps its binlog. */
export const binlogHoursVariable = 'BINLOG_RETENTION_HOURS';

/** The tag of functions that a person may start; `npm run ops` starts no other. */
export const startedTag = 'signalbox:started';
export const startedByHand = 'by hand';

/** The variables in which a function finds the issuer of people's tokens and the audience they must be for. */
export const oidcVariables = { issuer: 'OIDC_ISSUER', audience: 'OIDC_AUDIENCE' } as const;
