/** Applies the migrations of the bundle. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import * as z from 'zod';
import { variable } from '../lambda/config.ts';
import { binlogHoursVariable } from '../names.ts';
import type { PlatformTables } from '../tables.ts';

/**
 * What infra/platform.ts hands over: which files of migrations/ there are. A person who may start the function can hand over
 * anything, so it only says what the function must hold; no SQL is taken from it.
 */
export const Migrations = z.object({
  migrations: z.array(z.object({ name: z.string(), sha256: z.string() })).min(1),
  /** Only for an Aurora cluster of ours. CloudFormation hands numbers over as text. */
  binlogRetentionHours: z.coerce.number().int().min(1).max(2160).optional(),
});
export type Migrations = z.infer<typeof Migrations>;

/** What the function itself holds. */
export interface BundledMigrations {
  /** In the order of their numbers. */
  readonly files: readonly {
    readonly name: string;
    readonly sql: string;
    readonly sha256: string;
  }[];
  readonly binlogRetentionHours: number | undefined;
}

/** Reads the files that the bundle has next to the function's code. */
export function bundledMigrations(): BundledMigrations {
  const folder = join(variable('LAMBDA_TASK_ROOT'), 'migrations');
  const files = globSync('*.sql', { cwd: folder })
    .toSorted()
    .map((name) => {
      const sql = readFileSync(join(folder, name), 'utf8');
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    });
  const hours = process.env[binlogHoursVariable];
  return { files, binlogRetentionHours: hours ? Number(hours) : undefined };
}

/** Throws unless the deploy names exactly what the function holds. */
function requireSame(named: Migrations, held: BundledMigrations): void {
  const key = ({ name, sha256 }: { name: string; sha256: string }) => `${name} ${sha256}`;
  const [ours, theirs] = [held.files.map(key), named.migrations.map(key)];
  const different = [
    ...theirs.filter((one) => !ours.includes(one)),
    ...ours.filter((one) => !theirs.includes(one)),
    ...(named.binlogRetentionHours === held.binlogRetentionHours ? [] : ['binlogRetentionHours']),
  ];
  if (!different.length) return;
  const names = new Set(different.map((one) => one.replace(/ .*/, '')));
  throw new Error(
    `The function holds something else than the deploy names: ${[...names].join(', ')}.`,
  );
}

const lockName = 'signalbox.migrate';
const lockTimeoutSeconds = 60;

/**
 * Applies what is not applied yet, one run at a time. MySQL cannot roll DDL back, so a file that broke off half-way
 * is run again from its start, and what it finds already there is passed over. Files only add; old code keeps running.
 */
export async function migrate(
  {
    mysql,
    held,
  }: { readonly mysql: Kysely<PlatformTables>; readonly held: () => BundledMigrations },
  named: Migrations,
): Promise<{ outcome: 'migrated' | 'up-to-date'; applied: string[] }> {
  const { files, binlogRetentionHours } = held();
  requireSame(named, { files, binlogRetentionHours });
  return await mysql.connection().execute(async (one) => {
    await locked(one);
    try {
      await sql`create schema if not exists signalbox`.execute(one);
      await sql`create table if not exists signalbox.migration (
        name varchar(100) primary key, hash char(64) not null, applied_at datetime not null default current_timestamp
      ) collate utf8mb4_0900_bin`.execute(one);
      const rows = await one.selectFrom('signalbox.migration').select(['name', 'hash']).execute();
      const hashes = new Map(rows.map(({ name, hash }) => [name, hash]));
      const applied: string[] = [];
      for (const { name, sql: text, sha256: hash } of files) {
        const known = hashes.get(name);
        if (known === hash) continue;
        if (known) throw new Error(`${name} was changed after it had run: add a new file instead.`);
        for (const statement of statementsOf(text)) await apply(one, statement);
        await one.insertInto('signalbox.migration').values({ name, hash }).execute();
        applied.push(name);
      }
      if (binlogRetentionHours) await keepBinlog(one, binlogRetentionHours);
      return { outcome: applied.length ? 'migrated' : 'up-to-date', applied };
    } finally {
      await sql`do release_lock(${lockName})`.execute(one);
    }
  });
}

/**
 * Aurora deletes a binlog as soon as it can unless this procedure of its own was called; CloudFormation cannot.
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/mysql-stored-proc-configuring.html
 */
async function keepBinlog(one: Kysely<PlatformTables>, hours: number): Promise<void> {
  await sql`call mysql.rds_set_configuration('binlog retention hours', ${hours})`.execute(one);
}

async function locked(one: Kysely<PlatformTables>): Promise<void> {
  const { rows } = await sql<{ got: number | string | null }>`
    select get_lock(${lockName}, ${lockTimeoutSeconds}) got`.execute(one);
  if (Number(rows[0]?.got) === 1) return;
  throw new Error(`Another migration has been running for over ${lockTimeoutSeconds} s.`);
}

/** Table, column and key exist: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html */
const alreadyThere = new Set([1050, 1060, 1061]);

async function apply(one: Kysely<PlatformTables>, statement: string): Promise<void> {
  try {
    await sql.raw(statement).execute(one);
  } catch (error) {
    const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : 0;
    if (!alreadyThere.has(errno)) throw error;
  }
}

/** A statement ends with a semicolon at the end of its line. */
const statementsOf = (text: string): string[] =>
  text
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement.replaceAll(/^--.*$/gm, '').trim());
