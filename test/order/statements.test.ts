import { expect, test } from 'vitest';
import { effectOf, noRoutes } from '../../lib/order/decoding/indirect-writes.ts';
import { targetsOf, tokensOf } from '../../lib/order/decoding/statements.ts';

const targets = (sql: string) => {
  const found = targetsOf(tokensOf(sql));
  return typeof found === 'string'
    ? found
    : found.map(({ schema, table }) => (schema ? `${schema}.${table}` : table));
};

test.each([
  ['insert into order_db.`order` (order_id) values (1)', ['order_db.order']],
  ['insert ignore order_log set what = "order"', ['order_log']],
  [
    'replace into percona.checksums (db, crc) select 1, 2 from order_db.order',
    ['percona.checksums'],
  ],
  ['update low_priority order_db.order set status = 1', ['order_db.order']],
  ['update `order` o set o.status = 1 where o.order_id = 1', ['order']],
  [
    'update order_log l join order_db.order o on o.order_id = l.order_id set l.what = o.status',
    ['order_log'],
  ],
  [
    'update order_log l join (`order` o, x) using (order_id) set o.status = 1, l.what = 2',
    ['order', 'order_log'],
  ],
  ['update order_log, `order` set status = 1', ['order_log', 'order']],
  ['update (select order_id from `order`) p, order_log l set l.what = 1', ['order_log']],
  ['update order_log set what = (select `status` from `order` limit 1)', ['order_log']],
  ['update a, order_db.order set order_db.order.status = 1', ['order_db.order']],
  ['delete from order_log order by id limit 10', ['order_log']],
  ['delete quick from order_log as l where l.id in (select order_id from `order`)', ['order_log']],
  ['delete l from order_log l join `order` o using (order_id)', ['order_log']],
  ['delete l, o.* from order_log l join `order` o using (order_id)', ['order_log', 'order']],
  ['delete from o using order_db.`order` o join order_log', ['order_db.order']],
  ['-- order\nupdate t set a = 1', ['t']],
  ['# c\n/* c */ /*!40001 update */ /*+ hint */ order_db.order set a = 1', ['order_db.order']],
  ['with gone as (select 1 from `order`) delete from t where id in (select * from gone)', ['t']],
  [
    'load data infile "x" ignore into table order_db.`order` fields terminated by ","',
    ['order_db.order'],
  ],
  ['select `order_db`.`touch`(1)', 'unknown'],
  ['create table x (a int)', 'nothing'],
  ["alter table t comment 'update order'", 'nothing'],
  ['', 'nothing'],
])('%j writes to %j', (sql, written) => {
  expect(targets(sql)).toEqual(written);
});

test('a long text in a statement is passed over', () => {
  const text = `${"it''s \\' ".repeat(200_000)}`;
  expect(targets(`insert into t values ('${text}'), ('update \`order\`')`)).toEqual(['t']);
});

const effect = (sql: string, databases?: string[], schema = 'shop', routes = noRoutes()) =>
  effectOf({ sql, schema, databases }, routes);

test('a statement that used no table of the order database changes no order', () => {
  expect(effect('update `order` set status = 1', ['shop'])).toBe('none');
  expect(effect('select f()', ['shop'])).toBe('none');
});

test('a statement that used a table of the order database without naming one changes orders', () => {
  expect(effect('update v set status = 1', ['order_db', 'shop'])).toBe('changes orders');
  expect(effect('select f()', ['order_db', 'shop'])).toBe('changes orders');
  const copies = 'insert into copies select * from order_db.order_log';
  expect(effect(copies, ['order_db', 'shop'])).toBe('none');
});

test('a statement of which it is not known what it used is unclear, unless it names orders', () => {
  expect(effect('update t set status = 1')).toBe('unclear');
  expect(effect('update order_db.order set status = 1')).toBe('changes orders');
  expect(effect('create table t (a int)')).toBe('none');
});

test('views and triggers that are made on the way are known from then on', () => {
  const routes = noRoutes();
  const all = ['order_db'];
  const make = (sql: string) => expect(effect(sql, all, 'order_db', routes)).toBe('none');
  const after = (sql: string) => effect(sql, all, 'order_db', routes);
  expect(after('insert into order_log values (1)')).toBe('unclear');
  make('create trigger t after insert on order_log for each row update `order` set status = 1');
  expect(after('insert into order_log values (1)')).toBe('changes orders');
  expect(after('insert into order_payment values (1)')).toBe('unclear');
  make('create or replace algorithm=merge view paid as select * from order_db.order order by 1');
  make('create view paid_now as select * from paid');
  expect(after('update paid_now set status = 1')).toBe('changes orders');
  expect(after('update Order_DB.Paid_Now set status = 1')).toBe('changes orders');
});

test('where the triggers of its tables can be seen a statement is not unclear', () => {
  const routes = { names: new Set<string>(), triggersSeen: true };
  expect(effect('delete from order_log limit 1', ['order_db'], 'order_db', routes)).toBe('none');
});
