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
