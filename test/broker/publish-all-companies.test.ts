import { sources } from '../../lib/broker/queues.ts';
import { run } from '../support/databases.ts';
import { describeFullProducer, numbers } from '../support/full-producers.ts';

await describeFullProducer(
  {
    id: 'broker/publish-all-companies',
    source: sources.company,
    fill: (count) =>
      run(`set session cte_max_recursion_depth = 5000;
        insert into anjuke_db.ajk_company (CompanyId, Status) ${numbers(count)} select id, id % 2 from n`),
    shown: ['user_prop_db.broker_company', 'company_id'],
  },
  () => import('../../functions/broker/publish-all-companies.ts'),
);
