/** The command line is wrong: the CLI prints the message, points to the help, and ends with status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
