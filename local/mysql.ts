/** Starts local MySQL servers and connects to them. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { connectionsMax } from '../infra/constructs/connections.ts';
import { mysqlHome, mysqlTemplate } from './install.ts';
import type { Processes } from './processes.ts';
import { users } from './users.ts';

const ours = ['signalbox', 'user_prop_db', 'user', 'push_db'];
const firstStatements = [
  ...Object.values(users).map(
    ({ username, password }) =>
      `create user if not exists '${username}'@'%' identified by '${password}';`,
  ),
  `grant all on *.* to '${users.admin.username}'@'%' with grant option;`,
  ...ours.map((schema) => `grant all on \`${schema}\`.* to '${users.signalbox.username}'@'%';`),
  `grant select on sublessor_history.* to '${users.signalbox.username}'@'%';`,
  `grant select on anjuke_db.* to '${users.upstream.username}'@'%';`,
  `grant select on order_db.* to '${users.order.username}'@'%';`,
  `grant replication slave, replication client on *.* to '${users.order.username}'@'%';`,
];

export interface Mysql {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
}

const host = '127.0.0.1';

/** Starts a real, empty MySQL in `dir`, with `more` options. Files of an earlier run there are deleted. */
export async function startMysql(
  processes: Processes,
  dir: string,
  port: number,
  name = 'mysql',
  more: Readonly<Record<string, string>> = {},
): Promise<Mysql> {
  const home = await mysqlHome();
  const template = await mysqlTemplate(home);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  cpSync(template, dir, { recursive: true });
  const file = (base: string) => join(dir, base);
  writeFileSync(file('first.sql'), firstStatements.join('\n'));
  const options = {
    basedir: home,
    datadir: file('data'),
    socket: file('mysql.sock'),
    'pid-file': file('mysqld.pid'),
    'init-file': file('first.sql'),
    'bind-address': host,
    port,
    mysqlx: 'OFF',
    'max-connections': connectionsMax,
    'server-id': 1,
    'log-bin': 'binlog',
    'binlog-format': 'ROW',
    'binlog-row-image': 'FULL',
    'binlog-row-metadata': 'FULL',
    'gtid-mode': 'ON',
    'enforce-gtid-consistency': 'ON',
    'default-authentication-plugin': 'mysql_native_password',
    'character-set-server': 'utf8mb4',
    'default-time-zone': '+08:00',
    'skip-name-resolve': 'ON',
    // The data is created again at each start, so nothing needs to be synced to disk.
    'sync-binlog': 0,
    'innodb-flush-log-at-trx-commit': 2,
    'innodb-flush-method': 'nosync',
    'innodb-doublewrite': 'OFF',
    // Tests truncate thousands of tables. A file per table and the adaptive hash index make each truncation three times as slow.
    'innodb-file-per-table': 'OFF',
    'innodb-adaptive-hash-index': 'OFF',
    'innodb-log-writer-threads': 'OFF',
    'innodb-buffer-pool-size': '64M',
    'innodb-redo-log-capacity': '64M',
    'performance-schema': 'OFF',
    ...(process.getuid?.() === 0 && { user: 'root' }),
    ...more,
  };
  const lines = Object.entries(options).map(([key, value]) => `${key}=${value}`);
  writeFileSync(file('my.cnf'), ['[mysqld]', ...lines, ''].join('\n'));
  return await startMysqlAgain(processes, dir, { host, port }, name);
}

/** Starts a server that has ended again, on its existing data. */
export async function startMysqlAgain(
  processes: Processes,
  dir: string,
  server: { readonly host: string; readonly port: number },
  name = 'mysql',
): Promise<Mysql> {
  const mysqld = join(await mysqlHome(), 'bin/mysqld');
  const command = [mysqld, `--defaults-file=${join(dir, 'my.cnf')}`] as const;
  const pid = await processes.start(name, command, () => accepts(server));
  return { host: server.host, port: server.port, pid };
}

async function accepts(server: { host: string; port: number }): Promise<boolean> {
  try {
    await (await connect(server)).end();
    return true;
  } catch {
    return false;
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
  /** The Unix socket of a local server, which is used instead of the port if it is given. */
  readonly socketPath?: string;
}

/** Opens a connection with all rights that accepts several statements in one text. The caller closes it. */
export const connect = ({ host, port, socketPath }: Address) =>
  createConnection({
    host,
    port,
    ...(socketPath && { socketPath }),
    user: users.admin.username,
    password: users.admin.password,
    multipleStatements: true,
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    timezone: '+08:00',
  });
