import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Kysely, MysqlDialect, sql } from 'kysely';
import type { RowDataPacket } from 'mysql2';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { isDirectConnection } from '../../lib/order/binlog/proxy-check.ts';
import { openBinlog } from '../../lib/order/decoding/stream.ts';
import { type Credentials, renewedPool } from '../../lib/platform/mysql/mysql-pool.ts';
import { connect, type Mysql, startMysql } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { Processes } from '../../local/processes.ts';
import { users } from '../../local/users.ts';
import { authority } from '../support/certificates.ts';

const dir = mkdtempSync(join(tmpdir(), 'signalbox-tls-'));
const processes = new Processes(dir);
const trusted = authority(join(dir, 'trusted'));
const past = { from: '20200101000000Z', to: '20200201000000Z' };
const certificates = {
  right: trusted.issue('right', 'DNS:localhost,IP:127.0.0.1'),
  'of another name': trusted.issue('another', 'DNS:mysql.example.com,IP:192.0.2.1'),
  'of the name localhost only': trusted.issue('localhost', 'DNS:localhost'),
  expired: trusted.issue('expired', 'DNS:localhost,IP:127.0.0.1', past),
  'of an authority that is not trusted': authority(join(dir, 'other')).issue(
    'stranger',
    'DNS:localhost,IP:127.0.0.1',
  ),
};
type Certificate = keyof typeof certificates;

const certainly = getCACertificates('default');
let server: Mysql;
let admin: Awaited<ReturnType<typeof connect>>;

function install(name: Certificate): void {
  copyFileSync(certificates[name].cert, join(dir, 'server.pem'));
  copyFileSync(certificates[name].key, join(dir, 'server.key'));
}

/** The server shows this certificate from now on, and remembers who tried to log in. */
async function show(name: Certificate): Promise<void> {
  install(name);
  await admin.query('alter instance reload tls; truncate table mysql.general_log');
}

beforeAll(async () => {
  setDefaultCACertificates([...certainly, trusted.pem]);
  install('right');
  server = await startMysql(
    processes,
    join(dir, 'mysql'),
    await freePort('tls', undefined),
    'tls',
    {
      'ssl-cert': join(dir, 'server.pem'),
      'ssl-key': join(dir, 'server.key'),
      'log-output': 'TABLE',
      'general-log': 'ON',
    },
  );
  admin = await connect(server);
}, 60_000);

afterAll(async () => {
  setDefaultCACertificates(certainly);
  admin.destroy();
  const awake = setInterval(() => {}, 1000);
  await processes.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
});

beforeEach(() => show('right'));

/** Every way in which a connection to MySQL is opened; each answers with the version of TLS. */
const ways: Record<string, (credentials: Credentials) => Promise<string>> = {
  'the pool': async (credentials) => {
    const pool = renewedPool(async () => credentials);
    const db = new Kysely<Record<string, never>>({ dialect: new MysqlDialect({ pool }) });
    try {
      const { rows } = await sql<{ Value: string }>`show session status like 'Ssl_version'`.execute(
        db,
      );
      return String(rows[0]?.Value);
    } finally {
      await db.destroy();
    }
  },
  "the check of the order database's address": async (credentials) => {
    expect(await isDirectConnection(credentials)).toBe(true);
    return 'TLSv1.3';
  },
  'the reader of the binlog': async (credentials) => {
    const [rows] = await admin.query<RowDataPacket[]>('show master status');
    const at = { file: String(rows[0]?.['File']), position: Number(rows[0]?.['Position']) };
    const stream = openBinlog(credentials, 4711, { ...checkpoint, ...at }, 'position');
    try {
      await stream.take(500);
      const [threads] = await admin.query<RowDataPacket[]>(
        `select count(*) count from information_schema.processlist where user = '${users.order.username}'`,
      );
      expect(Number(threads[0]?.['count'])).toBe(2);
      return 'TLSv1.3';
    } finally {
      await stream.close();
    }
  },
};
const checkpoint = { serverUuid: '', gtidSet: null, open: null, atMs: null };

const to = (host: string): Credentials => ({
  host,
  port: server.port,
  ssl: true,
  ...users.order,
});

/** How often our user has sent a login. */
async function logins(): Promise<number> {
  const [rows] = await admin.query<RowDataPacket[]>(
    `select count(*) logins from mysql.general_log
     where command_type = 'Connect' and convert(argument using utf8mb4) like '%${users.order.username}@%'`,
  );
  return Number(rows[0]?.['logins']);
}

test.each(Object.keys(ways))(
  '%s reaches a server with the right certificate, over TLS',
  async (way) => {
    for (const host of ['localhost', '127.0.0.1'])
      expect(await ways[way]?.(to(host))).toMatch(/^TLSv1\.[23]$/);
    expect(await logins()).toBeGreaterThan(0);
  },
);

const wrong: [Certificate, string, RegExp][] = [
  ['of another name', 'localhost', /does not match certificate's altnames/],
  ['of another name', '127.0.0.1', /does not match certificate's altnames/],
  ['of the name localhost only', '127.0.0.1', /does not match certificate's altnames/],
  ['expired', 'localhost', /certificate has expired/],
  ['of an authority that is not trusted', 'localhost', /unable to verify|self-signed/],
];

test.each(Object.keys(ways).flatMap((way) => wrong.map((one) => [way, ...one] as const)))(
  '%s sends no login to a server with a certificate %s at %s',
  async (way, certificate, host, why) => {
    await show(certificate);
    const error = await ways[way]?.(to(host)).catch(String);
    expect(error).toMatch(why);
    expect(await logins()).toBe(0);
  },
);

test.each(Object.keys(ways))(
  '%s sends no login to a server that offers no TLS',
  async (way) => {
    const plain = await startMysql(processes, join(dir, way), await freePort(way, undefined), way, {
      'tls-version': '',
    });
    const error = await ways[way]?.({ ...to('localhost'), port: plain.port }).catch(String);
    expect(error).toMatch(/does not support secure connection/);
  },
  60_000,
);
