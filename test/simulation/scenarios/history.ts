/** All that ever stood in the world outside, by a key: what may be shown, and in which order. */
export function newHistory(before: string) {
  const history = new Map<string, string[]>();
  const shownUpTo = new Map<string, number>();
  return {
    all: (key: string): readonly string[] => history.get(key) ?? [],

    remember: (key: string, value: string) =>
      void history.set(key, [...(history.get(key) ?? []), value]),

    /** Whether `value` is what was shown last, or something that came after it; then that is what was shown last. */
    movesOn: (key: string, value: string): boolean => {
      const from = shownUpTo.get(key);
      const known = history.get(key) ?? [];
      if (value === (from === undefined ? before : known[from])) return true;
      const at = known.indexOf(value, (from ?? -1) + 1);
      if (at >= 0) shownUpTo.set(key, at);
      return at >= 0;
    },
  };
}
