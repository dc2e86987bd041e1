import { expect, test } from 'vitest';
import {
  isConnectionClosed,
  isUnavailable,
  PartnerUnavailable,
  Postponed,
  Rejected,
  textOf,
  Unavailable,
} from '../../lib/platform/errors.ts';

const withErrno = (errno: number) => Object.assign(new Error('of MySQL'), { errno });
const withCode = (code: string) => Object.assign(new Error('of the network'), { code });
const tooManyConnections = 1040;
const deadlock = 1213;
const duplicate = 1062;
const lost = "Can't add new command when connection is in closed state";

test.each([
  ['ours', new Unavailable('no')],
  ['a server that is full', withErrno(tooManyConnections)],
  ['a conflict that lasted', withErrno(deadlock)],
  ['a lost connection', withCode('ECONNRESET')],
  ['a connection that was lost before', new Error(lost)],
  ['an error with such a cause', new Error('x', { cause: withErrno(tooManyConnections) })],
  ['a cause of a cause', new Error('x', { cause: new Error('y', { cause: withCode('EPIPE') }) })],
  ['a message postponed for it', new Postponed(new Date(0), 'x', { cause: new Unavailable('no') })],
])('%s is away', (_, error) => {
  expect(isUnavailable(error)).toBe(true);
});

test.each([
  ['a fault of the statement', withErrno(duplicate)],
  ['a partner', new PartnerUnavailable('K3', 'none', 'x', { cause: withCode('ECONNREFUSED') })],
  [
    'an error that a partner caused',
    new Error('x', { cause: new PartnerUnavailable('K3', 'none', 'x') }),
  ],
  ['any other error', new Error('x')],
  ['a rejected message', new Rejected('x')],
  ['no error', { errno: tooManyConnections }],
  ['nothing', undefined],
])('%s is not away', (_, error) => {
  expect(isUnavailable(error)).toBe(false);
});

test.each([
  ['a fatal error', Object.assign(new Error('x'), { fatal: true }), true],
  ['a server that is full', withErrno(tooManyConnections), true],
  ['a lost connection', withCode('EPIPE'), true],
  ['an error that is not fatal', Object.assign(new Error('x'), { fatal: false }), false],
  ['a conflict', withErrno(deadlock), false],
  ['a fault of the statement', withErrno(duplicate), false],
  ['any other error', new Error('x'), false],
  ['no error', { fatal: true }, false],
  ['nothing', null, false],
])('after %s a connection is closed: %s', (_, error, closed) => {
  expect(isConnectionClosed(error)).toBe(closed);
});

test('a message that is postponed says until when, why, and under which switch', () => {
  const until = new Date(7);
  const postponed = new Postponed(until, 'Not now.', { heldBy: 'charging' });
  expect(postponed).toMatchObject({ name: 'Postponed', message: 'Not now.', heldBy: 'charging' });
  expect(postponed.until).toBe(until);
  expect('cause' in postponed).toBe(false);
  const plain = new Postponed(until, 'Not now.');
  expect([plain.heldBy, 'cause' in plain]).toEqual([undefined, false]);
  expect(new Postponed(until, 'Not now.', { cause: 'x' }).cause).toBe('x');
});

test('a partner that is away says which, and what the request may have done', () => {
  const plain = new PartnerUnavailable('K3', 'possible', 'no answer');
  expect(plain).toMatchObject({
    name: 'PartnerUnavailable',
    message: 'K3 is unavailable: no answer',
    partner: 'K3',
    effect: 'possible',
    answered: false,
  });
  expect('cause' in plain).toBe(false);
  const answered = new PartnerUnavailable('K3', 'none', 'status 404', {
    answered: true,
    cause: 'x',
  });
  expect(answered).toMatchObject({ effect: 'none', answered: true, cause: 'x' });
});

test('the text of anything thrown', () => {
  expect(textOf(new Error('x'))).toBe('x');
  expect(textOf(7)).toBe('7');
  expect([new Rejected('x').name, new Unavailable('x').name]).toEqual(['Rejected', 'Unavailable']);
});
