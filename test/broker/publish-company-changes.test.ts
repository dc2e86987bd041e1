import { sources } from '../../lib/broker/queues.ts';
import { describeChangeProducer } from '../support/change-producers.ts';
import { run } from '../support/databases.ts';

await describeChangeProducer(
  {
    id: 'broker/publish-company-changes',
    source: sources.company,
    change: (key, name, secondsAgo) =>
      run(
        "replace into anjuke_db.ajk_company values (?, '全称', ?, 1, now() - interval ? second)",
        [key, name, secondsAgo],
      ),
  },
  () => import('../../functions/broker/publish-company-changes.ts'),
);
