/** Migrates our schemas at each deploy, before any function that relies on them is deployed. */
import { customResource } from '../../lib/platform/lambda/custom-resource.ts';
import { bundledMigrations, Migrations, migrate } from '../../lib/platform/mysql/migrations.ts';
import { mysql, schemaStatements } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql', schemaStatements), held: bundledMigrations };

export const handler = customResource(Migrations, (properties) => migrate(deps, properties));
