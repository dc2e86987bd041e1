import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../local/mysql.ts';

/** Makes the tables that are ours, all migrations one after the other. */
export async function createOurs(server: { readonly host: string; readonly port: number }) {
  const admin = await connect(server);
  const folder = join(import.meta.dirname, '../../migrations');
  for (const file of readdirSync(folder).toSorted())
    await admin.query(readFileSync(join(folder, file), 'utf8'));
  await admin.end();
}
