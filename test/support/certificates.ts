import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Authority {
  /** Its own certificate: who trusts this, trusts what it issues. */
  readonly pem: string;
  /** Makes `<name>.pem` and `<name>.key` for a server of these names; returns both paths. */
  readonly issue: (
    name: string,
    names: string,
    valid?: { readonly from: string; readonly to: string },
  ) => { readonly cert: string; readonly key: string };
}

const configuration = `[ca]
default_ca = here
[here]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
unique_subject = no
policy = names
[names]
commonName = supplied
`;
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const [always, until] = ['20250101000000Z', '20490101000000Z'];

/** Makes a certificate authority in `dir`. */
export function authority(dir: string): Authority {
  mkdirSync(dir, { recursive: true });
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  writeFileSync(join(dir, 'ca.cnf'), configuration);
  writeFileSync(join(dir, 'index.txt'), '');
  writeFileSync(join(dir, 'serial'), '1000\n');
  const subject = ['-subj', '/CN=Authority of the tests'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    ...subject,
    '-days',
    '30',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  );
  return {
    pem: readFileSync(join(dir, 'ca.pem'), 'utf8'),
    issue: (name, names, { from, to } = { from: always, to: until }) => {
      const [cert, key] = [`${name}.pem`, `${name}.key`];
      writeFileSync(join(dir, 'names.cnf'), `subjectAltName = ${names}\n`);
      openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', key, '-out', `${name}.csr`);
      openssl(
        ...[
          'ca',
          '-batch',
          '-notext',
          '-config',
          'ca.cnf',
          '-cert',
          'ca.pem',
          '-keyfile',
          'ca.key',
        ],
        ...['-startdate', from, '-enddate', to, '-extfile', 'names.cnf'],
        ...['-in', `${name}.csr`, '-out', cert],
      );
      return { cert: join(dir, cert), key: join(dir, key) };
    },
  };
}
