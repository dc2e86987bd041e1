/** The secrets of the product. */
import type { SecretName } from '../../lib/platform/names.ts';

/**
 * Every possible secret `signalbox/<stage>/<name>` and what it gives access to. Only secrets that a deployed function
 * reads must exist; the deploy's output SecretsRead names them.
 */
export const secrets = {
  mysql: 'our own schemas; made by the deploy unless mysqlSecurityGroup is given',
  'mysql-upstream': 'a MySQL user who may read anjuke_db',
  'mysql-order':
    'a MySQL user who may read order_db and its binlog; SHOW VIEW helps, on Aurora EXECUTE on mysql.rds_show_configuration',
  redis: 'the Upstash Redis that the site reads',
  'weixin-redis': 'the Redis that holds WeChat’s access token',
  opensearch: 'OpenSearch; made by the deploy unless opensearchUrl is given',
  wechat: 'the WeChat account',
  payment: 'our application at the payment centre',
  'upstream-keys': 'the keys of the systems that call our HTTP API',
} as const satisfies Record<SecretName, string>;

/** The secret's name in Secrets Manager. */
export const secretId = (stage: string, name: SecretName): string => `signalbox/${stage}/${name}`;
