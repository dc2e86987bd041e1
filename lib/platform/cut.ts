/** Shortens texts to a number of characters. */

/**
 * Returns the first characters of a text and never splits a surrogate pair. Lone surrogates become U+FFFD, because
 * databases and queues reject them.
 */
export function cutTo(text: string, charactersMax: number): string {
  // A character has at most two UTF-16 units.
  const start = text.slice(0, charactersMax * 2).toWellFormed();
  return start.length <= charactersMax ? start : Array.from(start).slice(0, charactersMax).join('');
}
