/** Times two things in turns, so that both have the same noise. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Runs two things in turns, so that both have the same noise, and gives the median milliseconds of each. */
export async function mediansInTurns(
  rounds: number,
  ours: () => Promise<void>,
  peer: () => Promise<void>,
): Promise<{ readonly ours: number; readonly peer: number }> {
  const times = { ours: [] as number[], peer: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    // The order alternates, because the second inherits garbage and warm sockets from the first.
    const order = [['ours', ours] as const, ['peer', peer] as const];
    for (const [name, work] of round % 2 ? order : order.toReversed()) {
      const began = performance.now();
      await work();
      if (round > 0) times[name].push(performance.now() - began); // The first warms up.
    }
  }
  return { ours: median(times.ours), peer: median(times.peer) };
}
