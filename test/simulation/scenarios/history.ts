/** All values of the outside world by key: they may be shown in this order only. */
export function newHistory(before: string) {
  const history = new Map<string, string[]>();
  const shownUpTo = new Map<string, number>();
  return {
    all: (key: string): readonly string[] => history.get(key) ?? [],

    remember: (key: string, value: string) =>
      void history.set(key, [...(history.get(key) ?? []), value]),

    /** Returns whether `value` is the last shown value or a later one, and remembers it as the last shown. */
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
