import { plusSeconds, wallTime } from '../../../lib/platform/time.ts';
import type { Letter } from '../queues.ts';
import type { Stage } from '../run-scenario.ts';
import { newHistory } from './history.ts';

export type Upstream = ReturnType<typeof upstreamOf>;

const gone = '(deleted)';
const daySeconds = 86_400;

/** The upstream tables with their history: the site may show its values, in this order only. */
export function upstreamOf({ databases: { admin }, world }: Stage) {
  const { remember, movesOn, all } = newHistory(gone);
  const stamps = new Map<string, string>();
  let versions = 0;

  /** Never earlier than the last timestamp, because a change locks its row until the commit. */
  const stampOf = (key: string, lateSeconds: number) => {
    const own = wallTime(new Date(world.nowMs - lateSeconds * 1000));
    const [, stamp = own] = [own, stamps.get(key) ?? own].toSorted();
    stamps.set(key, stamp);
    return stamp;
  };

  return {
    rename: async (id: number, { lateSeconds = 0, status = 1 } = {}): Promise<void> => {
      const name = `v${versions++}`;
      const stamp = stampOf(`name ${id}`, lateSeconds);
      await admin.query(
        "replace into anjuke_db.ajk_broker values (?, ?, 11, 101, 1001, 'photo.jpg', ?, ?)",
        [id, name, status, stamp],
      );
      remember(`name ${id}`, status === 1 ? name : gone);
    },

    /** Changes a row with a timestamp of the day before, as with a wrong clock: only a message announces it. */
    setBack: async (id: number): Promise<void> => {
      const name = `v${versions++}`;
      const stamp = plusSeconds(stampOf(`name ${id}`, 0), -daySeconds);
      await admin.query(
        "replace into anjuke_db.ajk_broker values (?, ?, 11, 101, 1001, 'photo.jpg', 1, ?)",
        [id, name, stamp],
      );
      remember(`name ${id}`, name);
    },

    call: async (id: number, { lateSeconds = 0 } = {}): Promise<void> => {
      const mobile = `1380000${String(versions++).padStart(4, '0')}`;
      const stamp = stampOf(`mobile ${id}`, lateSeconds);
      await admin.query('replace into anjuke_db.ajk_brokerextend values (?, ?, ?)', [
        ...[id, mobile, stamp],
      ]);
      remember(`mobile ${id}`, mobile);
    },

    /** Deletes a row; only a message announces it. */
    remove: async (id: number): Promise<void> => {
      await admin.query('delete from anjuke_db.ajk_broker where BrokerId = ?', [id]);
      remember(`name ${id}`, gone);
    },

    /** Returns a shown value that is older than one shown before, or that never existed. */
    wrongOnSite: async (): Promise<string | undefined> => {
      const [rows] = await admin.query('select * from user_prop_db.broker_base');
      for (const { broker_id, is_deleted, true_name, mobile } of rows as Record<string, string>[]) {
        const name = is_deleted ? gone : String(true_name);
        if (!movesOn(`name ${broker_id}`, name))
          return `Broker ${broker_id} is ${name} on the site, of ${all(`name ${broker_id}`)}.`;
        if (mobile && !movesOn(`mobile ${broker_id}`, mobile))
          return `Broker ${broker_id} has ${mobile}, of ${all(`mobile ${broker_id}`)}.`;
      }
      return undefined;
    },

    missingOnSite: async (): Promise<string | undefined> => {
      const [rows] = await admin.query(`
        select u.BrokerId id, u.TrueName upstream, b.true_name site from anjuke_db.ajk_broker u
          left join anjuke_db.ajk_brokerextend e on e.BrokerId = u.BrokerId
          left join user_prop_db.broker_base b on b.broker_id = u.BrokerId
        where b.broker_id is null or not u.TrueName <=> b.true_name
          or (e.UserMobile is not null and not e.UserMobile <=> b.mobile)
          or (u.Status = 1) <> (b.is_deleted = 0)
        union all select broker_id, null, true_name from user_prop_db.broker_base
        where is_deleted = 0 and broker_id not in (select BrokerId from anjuke_db.ajk_broker)`);
      const [row] = rows as unknown[];
      return row === undefined ? undefined : `The site differs: ${JSON.stringify(row)}`;
    },

    /** Checks that each version is published once, plus at most once for each fault. */
    publishedTooOften: (sent: readonly Letter[], injected: number): string | undefined => {
      const scanned = sent.filter(({ body }) => body.endsWith('"flag":2,"source":1}'));
      const ids = scanned.flatMap(({ body }) => String(JSON.parse(body).broker_ids).split(','));
      if (ids.length <= versions * (1 + injected)) return undefined;
      return `${ids.length} publications of ${versions} versions after ${injected} faults.`;
    },
  };
}
