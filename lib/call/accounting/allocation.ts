/** Splits amounts of money over contracts, without I/O. */

/** A contract that may have money left. */
export interface Funds {
  readonly contract_id: string;
  readonly balance_fen: bigint;
}

/** A part of a charge: the amount that one contract pays, or (null) the amount that no contract covers. */
export interface Part {
  readonly contract_id: string | null;
  readonly amount_fen: bigint;
}

/**
 * Splits a charge over contracts in the given order. No balance falls below 0, and the rest has no contract. The
 * parts add up to the amount.
 */
export function allocate(amountFen: bigint, contracts: readonly Funds[]): Part[] {
  const parts: Part[] = [];
  let rest = amountFen;
  for (const { contract_id, balance_fen } of contracts) {
    const covered = rest <= balance_fen;
    const amount_fen = covered ? rest : balance_fen;
    if (amount_fen <= 0n) continue;
    parts.push({ contract_id, amount_fen });
    rest -= amount_fen;
  }
  return rest > 0n ? [...parts, { contract_id: null, amount_fen: rest }] : parts;
}

/** Income that no contract has paid yet. */
export interface UnallocatedIncome {
  readonly id: string;
  readonly payment_id: string;
  readonly amount_fen: bigint;
}

/** The amount that a contract pays of unallocated income. */
export interface Share {
  readonly waiting: UnallocatedIncome;
  readonly contract_id: string;
  readonly amount_fen: bigint;
}

/** Splits the contracts' money over unallocated income, both in the given order. */
export function shareOut(
  waiting: readonly UnallocatedIncome[],
  contracts: readonly Funds[],
): Share[] {
  const shares: Share[] = [];
  let funds = contracts.filter(({ balance_fen }) => balance_fen > 0n);
  for (const one of waiting) {
    if (!funds.length) break;
    const paid = new Map(
      allocate(one.amount_fen, funds).map(({ contract_id, amount_fen }) => [
        contract_id,
        amount_fen,
      ]),
    );
    for (const { contract_id } of funds) {
      const amount_fen = paid.get(contract_id);
      if (amount_fen) shares.push({ waiting: one, contract_id, amount_fen });
    }
    funds = funds
      .map(({ contract_id, balance_fen }) => ({
        contract_id,
        balance_fen: balance_fen - (paid.get(contract_id) ?? 0n),
      }))
      .filter(({ balance_fen }) => balance_fen > 0n);
  }
  return shares;
}
