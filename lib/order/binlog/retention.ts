/** Reads for how long the order database keeps its binlog. */
import { type Kysely, sql } from 'kysely';
import type { OrderTables } from '../tables.ts';

interface Retention {
  /** Infinity if the server never deletes its binlog. */
  readonly hours: number | 'unknown';
  /** Returns the instruction that sets the retention to this many hours. */
  readonly set: (hours: number) => string;
}

/** Returns the retention of the binlog. On Aurora and RDS the variables of MySQL do not contain it. */
export async function retentionOf(order: Kysely<OrderTables>): Promise<Retention> {
  const values = await variables(order);
  const configured = await rdsRetention(order);
  if (configured !== undefined) return { hours: configured, set: rdsSet };
  if (values.has('aurora_version') || values.get('basedir')?.startsWith('/rdsdbbin'))
    return { hours: 'unknown', set: rdsGrant };
  if (values.get('binlog_expire_logs_auto_purge') === 'OFF') return { hours: Infinity, set };
  const seconds = Number(values.get('binlog_expire_logs_seconds') ?? 0);
  // `expire_logs_days` is from MySQL 5.7; in 8.0 one of the two is 0.
  const days = Number(values.get('expire_logs_days') ?? 0);
  const kept = seconds || days * 86_400;
  return { hours: kept ? Math.floor(kept / 3_600) : Infinity, set };
}

const set = (hours: number) => `set binlog_expire_logs_seconds to ${hours * 3_600}`;
const rdsSet = (hours: number) =>
  `call mysql.rds_set_configuration('binlog retention hours', ${hours})`;
const rdsGrant = () => 'grant execute on procedure mysql.rds_show_configuration to our user';

async function variables(order: Kysely<OrderTables>): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ Variable_name: string; Value: string }>`
    show global variables where variable_name in ('aurora_version', 'basedir',
      'binlog_expire_logs_auto_purge', 'binlog_expire_logs_seconds', 'expire_logs_days')`.execute(
    order,
  );
  return new Map(rows.map(({ Variable_name, Value }) => [Variable_name, Value]));
}

/** MySQL's errors for a procedure that does not exist or that our user may not call. */
const refusals = new Set([1044, 1046, 1142, 1305, 1370]);

/**
 * Returns the configured hours, or undefined if this is not RDS. The default is 0: Aurora then deletes
 * its binlog as soon as it does not need it itself.
 */
async function rdsRetention(order: Kysely<OrderTables>): Promise<number | undefined> {
  try {
    // The first result of a procedure call holds the selected rows.
    const { rows } = await sql<readonly Configured[]>`call mysql.rds_show_configuration()`.execute(
      order,
    );
    const found = rows[0]?.find(({ name }) => name === 'binlog retention hours');
    return Number(found?.value ?? 0);
  } catch (error) {
    if (error instanceof Error && 'errno' in error && refusals.has(Number(error.errno)))
      return undefined;
    throw error;
  }
}

interface Configured {
  readonly name: string;
  readonly value: string | null;
}
