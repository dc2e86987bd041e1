import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { companyKey, profileKey, storeKey } from '../../lib/broker/cache-keys.ts';
import { profileOf } from '../../lib/broker/read/read-profile.ts';
import type { ProfileTables } from '../../lib/broker/tables.ts';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { leaseKeyOf } from '../../lib/platform/cache/read-through-cache.ts';
import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import { deliverBy, transactionWithOutbox } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { pause } from '../../lib/platform/time.ts';
import { resetDatabases, run } from '../support/databases.ts';
import { ask, httpEvent, refused, signed } from '../support/http.ts';
import { eventOf } from '../support/lambda.ts';
import { patientCache } from '../support/redis.ts';

const id = 'broker/read-profile';
const cache = await patientCache();
const { handler } = await import('../../functions/broker/read-profile.ts');

const keys = [profileKey('7'), companyKey('101'), storeKey('1001')];
const read = (broker = '7') =>
  signed(httpEvent({ path: `/brokers/${broker}`, parameters: { id: broker } }));
const kept = (name: string) => cache((redis) => redis.get(name));

beforeEach(async () => {
  await resetDatabases();
  await cache((redis) => Promise.all(keys.map((key) => redis.del(key, leaseKeyOf(key)))));
  await run(`
    insert into user_prop_db.broker_base (broker_id, true_name, city_id, company_id, store_id, photo, mobile, is_deleted, source_updated_at)
      values (7, '王芳', 11, 101, 1001, 'photo.jpg', '13800000001', 0, '2026-11-20 10:00:00'), (8, '李', 11, null, null, null, null, 1, null);
    insert into user_prop_db.broker_ext_profile (broker_id, weidian_name, wechat_name, weidian_qrcode, is_wechat_talent, talent_level, is_star_agent, stars, is_deleted)
      values (7, '芳芳的店', 'fang', 'qr.png', 1, 3, 0, null, 0);
    insert into user_prop_db.broker_company (company_id, name, is_deleted) values (101, '链家', 0);
    insert into user_prop_db.broker_store (store_id, company_id, name, address, is_deleted) values (1001, 101, '人民广场店', '西藏中路1号', 0);`);
});

const profile = {
  broker_id: '7',
  true_name: '王芳',
  city_id: 11,
  company_id: '101',
  company_name: '链家',
  store_id: '1001',
  store_name: '人民广场店',
  store_address: '西藏中路1号',
  photo: 'photo.jpg',
  mobile: '13800000001',
  weidian_name: '芳芳的店',
  wechat_name: 'fang',
  weidian_qrcode: 'qr.png',
  is_wechat_talent: true,
  talent_level: 3,
  is_star_agent: false,
  stars: null,
  updated_at: '2026-11-20 10:00:00',
};

/** Reads through a cache client without a short time-out: on a busy machine the handler's own client may give up. */
const shown = async () =>
  (await profileOf({ mysql: mysql<ProfileTables>('mysql'), cache }, '7')).profile;

const polled = Array.from({ length: 200 }, (_, index) => String(1_000 + index));
const staleMsMax = 10_000;

describe('broker/read-profile', () => {
  describe('happy path', () => {
    test('answers with the profile, its extended fields and the names of company and store', async () => {
      const event = signed(eventOf<APIGatewayProxyEventV2>(id, 'get'));
      expect(await ask(handler, event)).toMatchObject({ status: 200, body: profile });
    });

    test('reads from the cache the second time, and shows new values after each key is invalidated', async () => {
      expect(await shown()).toEqual(profile);
      await run(`update user_prop_db.broker_base set true_name = '新';
    update user_prop_db.broker_company set name = '新链家'; update user_prop_db.broker_store set name = '新店'`);
      expect(await shown()).toEqual(profile);
      const expected: Record<string, unknown> = { ...profile };
      for (const [key, change] of [
        [keys[0], { true_name: '新' }],
        [keys[1], { company_name: '新链家' }],
        [keys[2], { store_name: '新店' }],
      ] as const) {
        await invalidation(cache).send('invalidate', [JSON.stringify({ keys: [key] })]);
        Object.assign(expected, change);
        expect(await shown()).toEqual(expected);
      }
    });

    test('answers with nulls when company, store and extended profile are missing', async () => {
      await run(`update user_prop_db.broker_base set company_id = null;
    update user_prop_db.broker_store set is_deleted = 1;
    update user_prop_db.broker_ext_profile set is_deleted = 1`);
      expect((await ask(handler, read())).body).toMatchObject({
        ...{ true_name: '王芳', company_id: null, company_name: null, store_id: '1001' },
        ...{ store_name: null, store_address: null, weidian_name: null, is_wechat_talent: false },
      });
    });

    test('reads from MySQL when a cached profile has the form of an older release', async () => {
      await cache((redis) => redis.set(profileKey('7'), { name: 'of an older release' }));
      expect((await ask(handler, read())).body).toEqual(profile);
    });
  });

  describe('refused', () => {
    test.each(['8', '9', '9223372036854775807'])(
      'answers 404 when the broker %s is deleted or unknown',
      async (broker) => {
        expect(await refused(handler, read(broker))).toEqual([404, 'not_found']);
        expect(await kept(profileKey(broker))).toBeNull();
      },
    );

    test.each(['abc', '0', '-7', '07', '7,8', '7.0', '9223372036854775808', '7%20', ''])(
      'answers 400 when %j is not an id',
      async (broker) => {
        expect(await refused(handler, read(broker))).toEqual([400, 'invalid_body']);
      },
    );

    test('answers 401 when the request is unsigned', async () => {
      const event = httpEvent({ path: '/brokers/7', parameters: { id: '7' } });
      expect(await refused(handler, event)).toEqual([401, 'unauthenticated']);
    });
  });

  describe('concurrency', () => {
    test('shows no profile older than the promised 10 s when 200 profiles are read while they change', async () => {
      const db = mysql<ProfileTables>('mysql');
      const deliver = deliverBy(invalidation(cache));
      await run('insert into user_prop_db.broker_base (broker_id, city_id, is_deleted) values ?', [
        polled.map((one) => [one, 0, 0]),
      ]);
      await cache((redis) => Promise.all(polled.map((one) => redis.del(profileKey(one)))));
      const followedAtMs = new Map<string, number>();
      const seen = { reads: 0, fromCache: 0, worstMs: 0 };
      let over = false;
      const ended = Promise.withResolvers<void>();
      // `deliverDue` sends the invalidations that a writer could not send after its commit.
      const settings = async () => ({ deliveriesPerMinuteMax: 6_000 });
      const delivering = deliverDue(
        {
          ...{ mysql: db as never, deliver, settings },
          pause: (ms) => Promise.race([pause(ms), ended.promise]), // Ends the last pause early.
        },
        { remaining: () => (over ? 0 : 60_000) },
      );
      const lanes = Array.from({ length: 8 }, async (_, lane) => {
        for (let turn = lane; !over; turn += 8) {
          const one = polled[turn % polled.length] ?? '';
          const askedAtMs = Date.now();
          const { profile, from } = await profileOf({ mysql: db, cache }, one);
          const followed = followedAtMs.get(`${one} ${profile?.city_id}`) ?? askedAtMs;
          seen.worstMs = Math.max(seen.worstMs, askedAtMs - followed);
          seen.fromCache += from === 'cache' ? 1 : 0;
          seen.reads += 1;
        }
      });
      try {
        for (let version = 1; version <= 3; version++) {
          await vi.waitUntil(() => seen.reads > version * polled.length, { timeout: 60_000 });
          for (let start = 0; start < polled.length; start += 50) {
            const some = polled.slice(start, start + 50);
            await transactionWithOutbox({ mysql: db, deliver }, async (trx, follow) => {
              await trx
                .updateTable('user_prop_db.broker_base')
                .set({ city_id: version })
                .where('broker_id', 'in', some)
                .execute();
              const body = JSON.stringify({ keys: some.map(profileKey) });
              follow({ destination: 'invalidate', body });
            });
            for (const one of some) followedAtMs.set(`${one} ${version - 1}`, Date.now());
          }
        }
        const before = seen.reads;
        const enough = () => seen.reads > before + polled.length && seen.fromCache > polled.length;
        await vi.waitUntil(enough, { timeout: 60_000 });
      } finally {
        over = true;
        ended.resolve();
        await Promise.all([...lanes, delivering]);
      }
      expect(seen.fromCache).toBeGreaterThan(polled.length);
      expect(seen.worstMs).toBeLessThan(staleMsMax);
    }, 240_000);
  });

  describe('outage', () => {
    test('reads the current profile from MySQL when the cache is unavailable', async () => {
      vi.resetModules();
      vi.stubEnv('SECRET_REDIS', 'test/no-such-secret');
      const other = await import('../../functions/broker/read-profile.ts');
      vi.unstubAllEnvs();
      for (const name of ['甲', '乙', '丙']) {
        await run('update user_prop_db.broker_base set true_name = ?', [name]);
        const answer = await ask(other.handler, read());
        expect(answer).toMatchObject({ status: 200, body: { true_name: name } });
      }
    });
  });
});
