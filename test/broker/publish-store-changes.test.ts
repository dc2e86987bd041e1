import { sources } from '../../lib/broker/queues.ts';
import { describeChangeProducer } from '../support/change-producers.ts';
import { run } from '../support/databases.ts';

await describeChangeProducer(
  {
    id: 'broker/publish-store-changes',
    source: sources.store,
    change: (key, name, secondsAgo) =>
      run(
        "replace into anjuke_db.ajk_store values (?, 101, ?, '漕溪北路1号', 1, now() - interval ? second)",
        [key, name, secondsAgo],
      ),
  },
  () => import('../../functions/broker/publish-store-changes.ts'),
);
