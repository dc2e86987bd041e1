/** MySQL users and their rights. As in the cloud, our user owns our schemas and the upstream user only reads. */
export const users = {
  admin: { username: 'admin', password: 'admin-password' },
  signalbox: { username: 'signalbox', password: 'signalbox-password' },
  upstream: { username: 'upstream', password: 'upstream-password' },
  order: { username: 'order', password: 'order-password' },
} as const;

/** The secrets of MySQL servers, each with its user. */
export const mysqlUsers = {
  mysql: users.signalbox,
  'mysql-upstream': users.upstream,
  'mysql-order': users.order,
} as const;

/** The audience of the local stack's tokens. */
export const audience = 'signalbox';
