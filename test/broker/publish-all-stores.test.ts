import { sources } from '../../lib/broker/queues.ts';
import { run } from '../support/databases.ts';
import { describeFullProducer, numbers } from '../support/full-producers.ts';

await describeFullProducer(
  {
    id: 'broker/publish-all-stores',
    source: sources.store,
    fill: (count) =>
      run(`set session cte_max_recursion_depth = 5000;
        insert into anjuke_db.ajk_store (StoreId, Status) ${numbers(count)} select id, id % 2 from n`),
    shown: ['user_prop_db.broker_store', 'store_id'],
  },
  () => import('../../functions/broker/publish-all-stores.ts'),
);
