import { expect, test } from 'vitest';
import {
  madeBy,
  names,
  targetsOf,
  tokensOf,
  wordsOf,
} from '../../lib/order/decoding/statements.ts';

const targets = (sql: string) => {
  const found = targetsOf(tokensOf(sql));
  return typeof found === 'string'
    ? found
    : found.map(({ schema, table }) => (schema ? `${schema}.${table}` : table));
};

test.each([
  ["X 'it''s \\' a \\\n ''text''' y", ['', 'text']],
  ['x "it""s \\" a \\\n ""text""" y', ['it"s \\" a \\\n "text"', 'text']],
  ['x `it``s a ``name``` y', ['it`s a `name`', 'quoted']],
  ["x '' y", ['', 'text']],
])('%j is a text or a name between two words', (sql, [value, kind]) => {
  const [x, y] = [
    { kind: 'name', value: 'x' },
    { kind: 'name', value: 'y' },
  ];
  expect(tokensOf(sql)).toEqual([x, { kind, value }, y]);
});

test('a comment ends with its line or with the statement', () => {
  const values = (sql: string) => tokensOf(sql).map(({ value }) => value);
  expect(values('a -- b\nc --')).toEqual(['a', 'c']);
  expect(values('a--b')).toEqual(['a', '-', '-', 'b']);
});

test.each([
  'do touch(1)',
  'call touch(1)',
  '(select touch(1))',
  'with x as (select 1) select * from x',
  'insert into',
  'load data',
])('what %s writes to is unknown', (sql) => {
  expect(targets(sql)).toBe('unknown');
});

test.each([
  ['insert delayed t values (1)', ['t']],
  ['insert high_priority ignore into t values (1)', ['t']],
  ['update low_priority ignore t set a = 1', ['t']],
  ['delete low_priority quick ignore from t', ['t']],
  ['(delete from t)', ['t']],
  ['with x as (select 1 a) update t join x using (a) set t.b = x.a', ['t']],
  ['with x as (select 1 "update" from (select (2)) y) delete from t', ['t']],
  ['with x as (select y.`update`, (update) from y) delete from t', ['t']],
])('%s writes to %j', (sql, written) => {
  expect(targets(sql)).toEqual(written);
});

test.each([
  ['update t set a = 1, b = 2', ['t']],
  ['update t set t.a = 1, t.b = 2', ['t']],
  ['update a, b as c set c.x = 1', ['b']],
  ['update a straight_join s.b c set c.y = 1', ['s.b']],
  ['update a as x join (select 1) p join s.b c set c.y = 1', ['s.b']],
  ['update s.a, b set a.x = 1', ['s.a']],
  ['update r.a, s.a set s.a.x = 1', ['s.a']],
  ['update x t, s.t set s.t.c = 1', ['s.t']],
  ['update a, b set s.a.x = 1', ['a']],
  ['update a, b set c.x = 1, s.d.x = 1', ['c', 's.d']],
  ['update a, b set a.x = if(1, b.y, 2)', ['a']],
  ['update a, b set a.x = (select y from c where z = 1), b.z = 2 where a.y = 1', ['a', 'b']],
  ['update a, b set a.x = b.limit, b.where = 1', ['a', 'b']],
  ['update a, b set (a.x) = 1', ['a', 'b']],
  ['update a join b on a.set = b.x set b.y = 1', ['b']],
])('%s sets columns of %j', (sql, written) => {
  expect(targets(sql)).toEqual(written);
});

test.each([
  ['delete from t', ['t']],
  ['delete from t where a in (1, b)', ['t']],
  ['delete from t order by a, b limit 1', ['t']],
  ['delete from t partition (p, q)', ['t']],
  ['delete l from order_log l join s.o on l.a = o.a', ['order_log']],
  ['delete o.*, l from order_log l join s.o using (order_id)', ['s.o', 'order_log']],
  ['delete from o.*, l using order_log l join s.o', ['s.o', 'order_log']],
])('%s deletes from %j', (sql, written) => {
  expect(targets(sql)).toEqual(written);
});

test.each(['select', 'with', 'values', 'table'])(
  'tables within a subquery that begins with %s are only read',
  (word) => {
    expect(targets(`update a join (${word} (b), c from d) p set z = 1`)).toEqual(['a']);
    expect(targets(`update a join (${word} b, c`)).toEqual(['a']);
  },
);

test.each([
  ...['join', 'straight_join', 'inner', 'cross', 'left', 'right', 'natural', 'on', 'using'],
  ...['partition', 'use', 'force', 'ignore', 'where'],
])('the word %s after a table is no alias of it', (word) => {
  expect(targets(`update x, a ${word} y set \`${word}\`.c = 1`)).toEqual([word]);
});

test('a table is named by a word, in quotes or not, and `order` only where it is no word of SQL', () => {
  const named = (sql: string, table: string) => names(tokensOf(sql), table);
  expect(named('select * from Paid', 'paid')).toBe(true);
  expect(named('select * from paid_now', 'paid')).toBe(false);
  expect(named("select 'paid'", 'paid')).toBe(false);
  expect(named('select * from x order by y', 'order')).toBe(false);
  expect(named('select * from order_db.order', 'order')).toBe(true);
  expect(named('select * from `order`', 'order')).toBe(true);
  expect(named('select * from "order"', 'order')).toBe(true);
});

test('the first words of a statement end at a sign or a quote', () => {
  expect(wordsOf(tokensOf('Start Transaction'))).toEqual(['start', 'transaction']);
  expect(wordsOf(tokensOf('begin; commit'))).toEqual(['begin']);
  expect(wordsOf(tokensOf('`x` y'))).toEqual([]);
});

const made = (sql: string) => {
  const found = madeBy(tokensOf(sql));
  return found && { name: found.name, text: found.text.map(({ value }) => value) };
};

test('a view or a trigger is made under the name that is written to', () => {
  const text = ['as', 'select', '1'];
  const paid = { schema: undefined, table: 'paid' };
  expect(made('create view paid as select 1')).toEqual({ name: paid, text });
  expect(made('alter view shop.paid as select 1')).toEqual({
    name: { schema: 'shop', table: 'paid' },
    text,
  });
  expect(made('create trigger noted after insert on paid for each row call f')).toEqual({
    name: paid,
    text: ['for', 'each', 'row', 'call', 'f'],
  });
});

test.each([
  'drop view paid',
  'create table paid (view int)',
  'create procedure p() create view paid as select 1',
])('%s makes no view or trigger', (sql) => {
  expect(made(sql)).toBeUndefined();
});
