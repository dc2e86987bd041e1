import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allocate, shareOut } from '../../lib/call/accounting/allocation.ts';

const sum = (amounts: readonly bigint[]) => amounts.reduce((total, one) => total + one, 0n);
const funds = fc
  .array(fc.bigInt({ min: 0n, max: 9_000n }), { maxLength: 6 })
  .map((balances) =>
    balances.map((balance_fen, index) => ({ contract_id: String(index), balance_fen })),
  );
const charge = fc.bigInt({ min: 1n, max: 20_000n });

test('the oldest pays first, the next what is left, and the rest waits for a contract', () => {
  const contracts = [
    { contract_id: '7', balance_fen: 1_500n },
    { contract_id: '3', balance_fen: 0n },
    { contract_id: '9', balance_fen: 2_000n },
  ];
  expect(allocate(4_000n, contracts)).toEqual([
    { contract_id: '7', amount_fen: 1_500n },
    { contract_id: '9', amount_fen: 2_000n },
    { contract_id: null, amount_fen: 500n },
  ]);
  expect(allocate(1_500n, contracts)).toEqual([{ contract_id: '7', amount_fen: 1_500n }]);
  expect(allocate(1n, [])).toEqual([{ contract_id: null, amount_fen: 1n }]);
});

test('parts add up, none is empty, no balance falls below 0', () => {
  fc.assert(
    fc.property(charge, funds, (amountFen, contracts) => {
      const parts = allocate(amountFen, contracts);
      expect(sum(parts.map(({ amount_fen }) => amount_fen))).toBe(amountFen);
      for (const { contract_id, amount_fen } of parts) {
        expect(amount_fen > 0n).toBe(true);
        const of = contracts.find((one) => one.contract_id === contract_id);
        if (of) expect(amount_fen <= of.balance_fen).toBe(true);
      }
      expect(new Set(parts.map(({ contract_id }) => contract_id)).size).toBe(parts.length);
    }),
  );
});

test('a contract pays only when all before it are empty, and nothing waits while one has money', () => {
  fc.assert(
    fc.property(charge, funds, (amountFen, contracts) => {
      const parts = allocate(amountFen, contracts);
      const paid = (id: string | null) =>
        sum(parts.filter((part) => part.contract_id === id).map((part) => part.amount_fen));
      const left = contracts.map((one) => one.balance_fen - paid(one.contract_id));
      const last = contracts.findLastIndex((one) => paid(one.contract_id) > 0n);
      expect(left.slice(0, Math.max(last, 0)).every((balance) => balance === 0n)).toBe(true);
      if (paid(null) > 0n) expect(sum(left)).toBe(0n);
    }),
  );
});

test('waiting income is shared out as if each charge were allocated after the one before it', () => {
  fc.assert(
    fc.property(fc.array(charge, { maxLength: 8 }), funds, (amounts, contracts) => {
      const waiting = amounts.map((amount_fen, index) => ({
        id: String(100 + index),
        payment_id: String(200 + index),
        amount_fen,
      }));
      const left = new Map(contracts.map((one) => [one.contract_id, one.balance_fen]));
      const expected = waiting.flatMap((one) => {
        const now = [...left].map(([contract_id, balance_fen]) => ({ contract_id, balance_fen }));
        return allocate(one.amount_fen, now).flatMap(({ contract_id, amount_fen }) => {
          if (contract_id === null) return [];
          left.set(contract_id, (left.get(contract_id) ?? 0n) - amount_fen);
          return [{ waiting: one, contract_id, amount_fen }];
        });
      });
      expect(shareOut(waiting, contracts)).toEqual(expected);
    }),
  );
});
