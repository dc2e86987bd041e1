/**
 * The first characters of a text, those of four bytes whole; half characters become U+FFFD, for no
 * database and no queue takes them.
 */
export function cutTo(text: string, charactersMax: number): string {
  // No character has more than two units.
  const start = text.slice(0, charactersMax * 2).toWellFormed();
  return start.length <= charactersMax ? start : Array.from(start).slice(0, charactersMax).join('');
}
