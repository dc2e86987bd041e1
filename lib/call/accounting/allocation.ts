/** A contract that may have money left. */
export interface Funds {
  readonly contract_id: string;
  readonly balance_fen: bigint;
}

/** A part of a charge: what one contract pays of it, or what none covers (null). */
export interface Part {
  readonly contract_id: string | null;
  readonly amount_fen: bigint;
}

/**
 * Splits a charge over contracts, in the order in which they are given, none below 0; the rest is not allocated.
 * The parts add up to the amount.
 */
export function allocated(amountFen: bigint, contracts: readonly Funds[]): Part[] {
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

/** Income that no contract has covered yet. */
export interface Waiting {
  readonly id: string;
  readonly payment_id: string;
  readonly amount_fen: bigint;
}

/** What a contract pays of waiting income. */
export interface Share {
  readonly waiting: Waiting;
  readonly contract_id: string;
  readonly amount_fen: bigint;
}

/** Splits the contracts' money over waiting income, both in the order in which they are given. */
export function shareOut(waiting: readonly Waiting[], contracts: readonly Funds[]): Share[] {
  const shares: Share[] = [];
  let funds = contracts.filter(({ balance_fen }) => balance_fen > 0n);
  for (const one of waiting) {
    if (!funds.length) break;
    const paid = new Map(
      allocated(one.amount_fen, funds).map(({ contract_id, amount_fen }) => [
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
