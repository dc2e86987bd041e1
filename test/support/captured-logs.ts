/**
 * The lines of JSON that are logged while `work` runs; they go where they went before, too. Those of failures are on
 * `process.stderr`.
 */
export async function logged(
  work: () => Promise<unknown>,
  stream: NodeJS.WriteStream = process.stdout,
): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const print = stream.write;
  stream.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    const text = String(chunk);
    if (text.startsWith('{')) lines.push(JSON.parse(text));
    return Reflect.apply(print, stream, [chunk, ...rest]);
  }) as typeof stream.write;
  try {
    await work();
  } finally {
    stream.write = print;
  }
  return lines;
}
