import { expect, test } from 'vitest';
import { effectOf, leadingIn, noRoutes } from '../../lib/order/indirect-writes.ts';

const view = (name: string, text: string | null, schema = 'order_db') => ({ schema, name, text });

test('a view leads to orders if its text names them, or another view that does', () => {
  const made = [
    view('latest', 'select * from Shop.Paid_Now', 'shop'),
    view('Paid_Now', 'select * from `order_db`.`paid`', 'shop'),
    view('paid', 'select * from `order_db`.`order`'),
    view('logged', 'select * from `order_db`.`order_log`'),
  ];
  expect(leadingIn(made)).toEqual(new Set(['shop.latest', 'shop.paid_now', 'order_db.paid']));
});

test.each([null, ''])(
  'a view whose text is %j, because it may not be seen, may lead to orders',
  (text) => {
    expect(leadingIn([view('hidden', text)])).toEqual(new Set(['order_db.hidden']));
  },
);

const effect = (sql: string, databases?: string[], schema = 'order_db', routes = noRoutes()) =>
  effectOf({ sql, schema, databases }, routes);
const both = ['Order_DB', 'shop'];

test('a function call of which it is not known what it used changes orders if it names them', () => {
  expect(effect('select touch(1)')).toBe('none');
  expect(effect('select touch(1) from order_db.order')).toBe('changes orders');
});

test('a statement that writes to several tables changes orders if one of them is theirs', () => {
  expect(effect('update x, `order` o set x.a = 1, o.status = 2')).toBe('changes orders');
  const routes = { names: new Set(['order_db.paid']), triggersSeen: true };
  const update = 'update x, paid p set x.a = 1, p.status = 2';
  expect(effect(update, both, 'order_db', routes)).toBe('changes orders');
});

test('a statement is unclear if one of its tables may have a trigger that cannot be seen', () => {
  const update = 'update shop.x x, order_log l set x.a = 1, l.what = 2';
  expect(effect(update, both)).toBe('unclear');
});

test.each([
  'insert into shop.copies select * from order_log',
  'update shop.copies c join order_log l set c.what = l.what',
])('%s names the table of the order database that it used', (sql) => {
  expect(effect(sql, both)).toBe('none');
  expect(effect(sql, both, 'ORDER_DB')).toBe('none');
  expect(effect(sql, both, 'shop')).toBe('changes orders');
});

test.each(['what', 'from_day', 'valid_from', '`from`'])(
  'a statement with a column %s names no table of the order database that it used',
  (column) => {
    expect(effect(`insert into shop.notes (${column}) values (1)`, both)).toBe('changes orders');
  },
);
