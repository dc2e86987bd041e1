/** The size limits of bundles, by the libraries they contain; the first kind that matches counts. */
const ceilings: readonly [kind: string, holds: RegExp | undefined, bytesMax: number][] = [
  ['any', /node_modules\/(undici|@upstash|@opensearch-project|@vlasky|jose)\//, 1_500_000],
  ['with MySQL', /node_modules\/mysql2\//, 1_000_000],
  ['with SQS', /node_modules\/@aws-sdk\//, 480_000],
  ['that only describes', undefined, 200_000], // docs/decisions/0004-bundles.md
];

/** Returns the size limit of a bundle that consists of these files. */
export function ceilingOf(files: readonly string[]): { kind: string; bytesMax: number } {
  const [kind, , bytesMax] = ceilings.find(
    ([, holds]) => !holds || files.some((file) => holds.test(file)),
  ) ?? ['', undefined, 0];
  return { kind, bytesMax };
}
