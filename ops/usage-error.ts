/** What the person said is wrong: shown as it is, with the way to the help. */
export class UsageError extends Error {
  override readonly name = 'Mistake';
}
