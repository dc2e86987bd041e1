/** MySQL users and their rights, as in the cloud: our user has our schemas, the upstream user only reads. */
export const users = {
  admin: { username: 'admin', password: 'admin-password' },
  signalbox: { username: 'signalbox', password: 'signalbox-password' },
  upstream: { username: 'upstream', password: 'upstream-password' },
  order: { username: 'order', password: 'order-password' },
} as const;

/** The secrets that name a MySQL server, each with the user that it is for. */
export const mysqlUsers = {
  mysql: users.signalbox,
  'mysql-upstream': users.upstream,
  'mysql-order': users.order,
} as const;

/** Whom the local stack's tokens are for. */
export const audience = 'signalbox';
