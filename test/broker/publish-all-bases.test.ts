import { sources } from '../../lib/broker/queues.ts';
import { run } from '../support/databases.ts';
import { describeFullProducer, numbers } from '../support/full-producers.ts';

await describeFullProducer(
  {
    id: 'broker/publish-all-bases',
    source: sources.base,
    fill: (count) =>
      run(`set session cte_max_recursion_depth = 5000;
        insert into anjuke_db.ajk_broker (BrokerId, Status) ${numbers(count)} select id, id % 2 from n`),
    shown: ['user_prop_db.broker_base', 'broker_id'],
  },
  () => import('../../functions/broker/publish-all-bases.ts'),
);
