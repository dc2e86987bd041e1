/** The lines of JSON that are logged while `work` runs; they go where they went before, too. */
export async function logged(work: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const print = process.stdout.write;
  process.stdout.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    const text = String(chunk);
    if (text.startsWith('{')) lines.push(JSON.parse(text));
    return Reflect.apply(print, process.stdout, [chunk, ...rest]);
  }) as typeof process.stdout.write;
  try {
    await work();
  } finally {
    process.stdout.write = print;
  }
  return lines;
}
