import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from './mysql.ts';

type Server = { readonly host: string; readonly port: number };

/** Makes the tables of the systems outside. */
export async function createUpstream(server: Server): Promise<void> {
  const admin = await connect(server);
  for (const file of ['upstream.sql', 'order.sql'])
    await admin.query(readFileSync(join(import.meta.dirname, file), 'utf8'));
  await admin.end();
}

/** Brokers with ids 1 to `count`, last changed a day ago. */
export async function seedBrokers(server: Server, count: number): Promise<void> {
  const admin = await connect(server);
  await admin.query(
    `set session cte_max_recursion_depth = ${count + 1};
    insert into anjuke_db.ajk_broker
      with recursive n as (select 1 id union all select id + 1 from n where id < ${count})
      select id, concat('经纪人', id), 11 + id % 5, 100 + id % 20, 1000 + id % 200, concat('photo/', id, '.jpg'), 1, now() - interval 1 day from n;
    insert into anjuke_db.ajk_brokerextend
      select BrokerId, concat('138', lpad(BrokerId, 8, '0')), updated_datetime from anjuke_db.ajk_broker;`,
  );
  await admin.end();
}
