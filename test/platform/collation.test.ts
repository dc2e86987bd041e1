import { beforeEach, expect, test } from 'vitest';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';

const schemas = ['signalbox', 'user_prop_db', 'push_db', 'user'];
const binary = 'utf8mb4_0900_bin';

/** Texts for people and what the site shows: nothing is found by them, and no two of them are held to be one. */
const texts = [
  'signalbox.audit.why',
  'signalbox.outbox.body',
  'signalbox.switch.why',
  'user_prop_db.broker_base.mobile',
  'user_prop_db.broker_base.photo',
  'user_prop_db.broker_base.true_name',
  'user_prop_db.broker_company.name',
  'user_prop_db.broker_ext_profile.wechat_name',
  'user_prop_db.broker_ext_profile.weidian_name',
  'user_prop_db.broker_ext_profile.weidian_qrcode',
  'user_prop_db.broker_phone.phone',
  'user_prop_db.broker_store.address',
  'user_prop_db.broker_store.name',
  'user_prop_db.charge_stop.why',
  'user_prop_db.sublessor_call_payment_log_201409.reason',
  'user_prop_db.sublessor_contract.customer',
  'user_prop_db.sublessor_contract_posting.message',
  'user_prop_db.sublessor_difference.ours',
  'user_prop_db.sublessor_difference.theirs',
  'user_prop_db.sublessor_income_open.why',
  'push_db.push.content',
  'push_db.push.data',
  'push_db.push.reason',
  'push_db.push_log.entry',
];

beforeEach(resetDatabases);

test('every string column of ours compares byte for byte, except texts for people', async () => {
  const others = await rowsOf(
    `select concat_ws('.', table_schema, table_name, column_name) name from information_schema.columns
     where table_schema in (?) and collation_name is not null and collation_name <> ?`,
    [schemas, binary],
  );
  expect(others.map(({ name }) => name).filter((name) => !texts.includes(String(name)))).toEqual(
    [],
  );
});

test('no key holds a text for people', async () => {
  const keyed = await rowsOf(
    `select distinct concat_ws('.', table_schema, table_name, column_name) name
     from information_schema.statistics join information_schema.columns using (table_schema, table_name, column_name)
     where table_schema in (?) and collation_name is not null and collation_name <> ?`,
    [schemas, binary],
  );
  expect(keyed).toEqual([]);
});

test('tables that are made from now on begin with the binary collation', async () => {
  const defaults = await rowsOf(
    `select schema_name name, default_collation_name collation_ from information_schema.schemata
     where schema_name in (?)`,
    [schemas],
  );
  expect(defaults.length).toBeGreaterThan(2);
  for (const { name, collation_ } of defaults) expect([name, collation_]).toEqual([name, binary]);
});

test.each([
  ['a switch', 'insert into signalbox.switch (name, state, `by`, why) values (?, "off", "t", "t")'],
  ['a nonce', 'insert into signalbox.nonce values ("key", ?, now())'],
  ["a nonce's key", 'insert into signalbox.nonce values (?, "nonce", now())'],
  ['a caller', 'insert into signalbox.call_rate values (?, "2026-11-21 10:00:00", 1)'],
  ['a lease', 'insert into signalbox.claim values (?, 1, now())'],
  [
    'a call',
    `insert into user_prop_db.sublessor_call_log_201409
       (call_id, user_id, caller, callee, status, started_at, duration, caller_digits)
     values (?, 1, "1", "1", 1, now(), 1, "1")`,
  ],
  [
    'a contract',
    `insert into user_prop_db.sublessor_contract
       (contract_id, contract_no, user_id, customer, amount_fen, balance_fen, signed_at)
     select coalesce(max(contract_id), 0) + 1, ?, 1, "c", 1, 1, now() from user_prop_db.sublessor_contract`,
  ],
  [
    'the subject of a difference',
    'insert into user_prop_db.sublessor_difference values ("2026-11-21", "kind", ?, null, null)',
  ],
])('%s is another one in another case, with a trailing blank or an accent', async (_, insert) => {
  for (const name of ['X1', 'x1', 'X1 ', 'X1\u00a0', 'X\u0301'])
    await run(insert.replaceAll('"', "'"), [name]);
  await expect(run(insert.replaceAll('"', "'"), ['X1'])).rejects.toMatchObject({ errno: 1062 });
});
