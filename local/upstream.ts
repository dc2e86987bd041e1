/** Creates the tables of upstream systems and their test data. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from './mysql.ts';

type Server = { readonly host: string; readonly port: number };

/** Creates the tables of the upstream systems. */
export async function createUpstream(server: Server): Promise<void> {
  const admin = await connect(server);
  for (const file of ['upstream.sql', 'order.sql'])
    await admin.query(readFileSync(join(import.meta.dirname, file), 'utf8'));
  await admin.end();
}

/** Inserts brokers with ids 1 to `count`, last changed a day ago. */
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

/** Inserts the companies and stores that `seedBrokers` refers to, last changed a day ago. */
export async function seedOthers(server: Server): Promise<void> {
  const admin = await connect(server);
  await admin.query(
    `insert into anjuke_db.ajk_company
      select distinct CompanyId, concat('第', CompanyId, '房地产经纪有限公司'), concat('公司', CompanyId), 1, now() - interval 1 day from anjuke_db.ajk_broker;
    insert into anjuke_db.ajk_store
      select distinct StoreId, min(CompanyId), concat('门店', StoreId), concat('漕溪北路', StoreId, '号'), 1, now() - interval 1 day from anjuke_db.ajk_broker group by StoreId;`,
  );
  await admin.end();
}
