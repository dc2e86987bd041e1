/** The signed routes on the deployed stack, whose roles hold no more than infra/ says. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signedHeaders } from '../../lib/platform/http/signature.ts';
import { pause } from '../../lib/platform/time.ts';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { getBroker, type Publication, postPublish } from '../../local/publish.ts';
import { started } from '../support/started.ts';

const { endpoints, mysql } = await started('stack');
const { api, credentials } = endpoints;
const stack = { endpoints };
const admin = await connect(mysql);
const first = 700_001;
const count = 200;
const target = '/publish?tunnel=broker_event';
const body = JSON.stringify({ broker_ids: String(first), flag: 2, source: 1 });

beforeAll(async () => {
  await admin.query(
    `set session cte_max_recursion_depth = 1000;
    insert into anjuke_db.ajk_broker
      with recursive n as (select ? id union all select id + 1 from n where id < ?)
      select id, '0', 11, null, null, null, 1, '2026-11-20 10:00:00' from n`,
    [first, first + count - 1],
  );
});
afterAll(async () => {
  await admin.query('delete from anjuke_db.ajk_broker where BrokerId >= ?', [first]);
  await admin.end();
});

async function publishAll(): Promise<void> {
  for (let start = first; start < first + count; start += 100) {
    const ids = Array.from({ length: 100 }, (_, index) => start + index);
    const { status } = await postPublish(stack, { broker_ids: ids.join(','), flag: 2, source: 1 });
    expect(status).toBe(202);
  }
}
/** Upstream has this version of all of them; the name is the number. */
const upstreamHas = (version: number) =>
  admin.query('update anjuke_db.ajk_broker set TrueName = ? where BrokerId >= ?', [
    String(version),
    first,
  ]);
const nameOf = async (id: number) => {
  const { status, body: shown } = await getBroker(stack, id);
  return status === 200 ? (shown as { true_name: string }).true_name : status;
};

test.each([{ form: false }, { form: true }])(
  'a signed POST /publish, $form as a form, is applied and read by a signed GET',
  async ({ form }) => {
    const id = first + (form ? 1 : 0);
    const publication: Publication = { broker_ids: String(id), flag: 2, source: 1 };
    const answer = await postPublish(stack, publication, { form });
    expect(answer).toEqual({ status: 202, body: { accepted: 1 } });
    await until('the broker is on the site', async () => (await nameOf(id)) === '0');
  },
);

test('unknown tunnel, unknown broker, an id that is none', async () => {
  const other = '/publish?tunnel=member_event';
  const response = await post(other, body, headersFor('POST', other, body));
  expect(response).toEqual([404, 'unknown_tunnel']);
  expect((await getBroker(stack, 999_999_999)).status).toBe(404);
  expect((await getBroker(stack, 'x')).status).toBe(400);
});

interface Stamp {
  readonly key?: string;
  readonly secret?: string;
  readonly ageSeconds?: number;
}

function headersFor(
  method: string,
  path: string,
  text: string | undefined,
  { ageSeconds = 0, ...by }: Stamp = {},
) {
  const stamp = { timestamp: Math.floor(Date.now() / 1000) - ageSeconds, nonce: randomUUID() };
  const request = { method, target: path, ...(text !== undefined && { body: text }) };
  return signedHeaders({ ...credentials.upstream, ...by }, request, stamp);
}

async function sent(method: string, path: string, headers: object, text?: string) {
  const response = await fetch(api + path, {
    method,
    headers: { ...headers, ...(text !== undefined && { 'content-type': 'application/json' }) },
    ...(text !== undefined && { body: text }),
  });
  const { error } = (await response.json()) as { error?: { code: string } };
  return [response.status, error?.code];
}
const post = (path: string, text: string, headers: object) => sent('POST', path, headers, text);
const get = (path: string, headers: object) => sent('GET', path, headers);
const unauthenticated = [401, 'unauthenticated'];

test('who does not sign, or not rightly, is refused', async () => {
  expect(await post(target, body, {})).toEqual(unauthenticated);
  expect(await get(`/brokers/${first}`, {})).toEqual(unauthenticated);
  for (const stamp of [
    { secret: 'another-secret-of-16' },
    { key: 'nobody' },
    { ageSeconds: 301 },
    { ageSeconds: -301 },
  ])
    expect(await post(target, body, headersFor('POST', target, body, stamp))).toEqual(
      unauthenticated,
    );
});

test('a request that was answered is refused when it comes again', async () => {
  const headers = headersFor('POST', target, body);
  expect(await post(target, body, headers)).toEqual([202, undefined]);
  expect(await post(target, body, headers)).toEqual(unauthenticated);
  const reading = headersFor('GET', `/brokers/${first}`, undefined);
  expect(await get(`/brokers/${first}`, reading)).toEqual([200, undefined]);
  expect(await get(`/brokers/${first}`, reading)).toEqual(unauthenticated);
});

test('a signature is for its method, its path, its query and its body alone', async () => {
  const headers = () => headersFor('POST', target, body);
  expect(await post(target, body.replace('7', '8'), headers())).toEqual(unauthenticated);
  expect(await post(`${target}&more=1`, body, headers())).toEqual(unauthenticated);
  expect(await get(`/brokers/${first}`, headers())).toEqual(unauthenticated);
  const other = headersFor('GET', `/brokers/${first + 1}`, undefined);
  expect(await get(`/brokers/${first}`, other)).toEqual(unauthenticated);
});

/** Of the promise (10 s), and of the machine on which all of it runs at once. */
const staleMsMax = 10_000;

test('two hundred profiles, read all the time while changes are applied: nothing older than is promised', async () => {
  await upstreamHas(1);
  await publishAll();
  await until('version 1 is applied', () => applied(1));
  /** When each version was applied to all: from then on the one before may be shown for so long and no longer. */
  const appliedAtMs = [0, Date.now()];
  let over = false;
  let pauseMs = 0;
  let reads = 0;
  let worstMs = 0;
  const shown = new Set<string>();
  const poll = async (offset: number) => {
    for (let turn = 0; !over; turn++) {
      const id = first + ((offset * 50 + turn) % count);
      const askedAtMs = Date.now();
      const name = await nameOf(id);
      const followedAtMs = appliedAtMs[Number(name) + 1];
      if (followedAtMs !== undefined) worstMs = Math.max(worstMs, askedAtMs - followedAtMs);
      shown.add(String(name));
      reads += 1;
      await pause(pauseMs);
    }
  };
  const pollers = [0, 1, 2, 3].map(poll);
  for (let version = 2; version <= 4; version++) {
    await upstreamHas(version);
    await publishAll();
    await until(`version ${version} is applied`, () => applied(version));
    appliedAtMs.push(Date.now());
  }
  // Nothing changes any more; what is old must still not come back, up to the end and at the end.
  pauseMs = 100;
  const end = Date.now() + staleMsMax + 2_000;
  await until('the promise has run out', () => Date.now() > end, { pollMs: 200 });
  over = true;
  await Promise.all(pollers);
  for (let id = first; id < first + count; id++) expect(await nameOf(id)).toBe('4');
  console.log(`  ${reads} reads; the oldest was shown ${worstMs} ms after it was followed.`);
  expect(shown).toContain('4');
  expect([...shown].every((name) => ['1', '2', '3', '4'].includes(name))).toBe(true);
  expect(worstMs).toBeLessThan(staleMsMax);
});

async function applied(version: number): Promise<boolean> {
  const [found] = await admin.query(
    `select count(*) n from user_prop_db.broker_base
     where broker_id >= ? and true_name = ? and is_deleted = 0`,
    [first, String(version)],
  );
  const [{ n = 0 } = {}] = found as { n?: number }[];
  return Number(n) === count;
}
