/** Brings our schemas up to date at each deploy, before any function that relies on them. */
import { customResource } from '../../lib/platform/lambda/custom-resource.ts';
import { heldMigrations, Migrations, migrate } from '../../lib/platform/mysql/migrations.ts';
import { mysql, schemaStatements } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = { mysql: mysql<PlatformTables>('mysql', schemaStatements), held: heldMigrations };

export const handler = customResource(Migrations, (properties) => migrate(deps, properties));
