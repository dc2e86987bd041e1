/** Pseudo-random numbers, which a seed determines, so that a failed run can be repeated. */
export interface Random {
  /** Returns a number from 0 (included) to 1 (excluded). */
  readonly next: () => number;
  /** Returns a whole number from `least` to `most`, both included. */
  readonly between: (least: number, most: number) => number;
  /** Returns true with this probability. */
  readonly happens: (probability: number) => boolean;
}

/** Returns Mulberry32 (public domain, by Tommy Ettinger), which is short, fast and random enough for this. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    between: (least, most) => least + Math.floor(next() * (most - least + 1)),
    happens: (probability) => next() < probability,
  };
}
