import { createHash } from 'node:crypto';

/** A patch of the bug bank and the domains, folders of lib/, whose code it changes. */
export interface Patch {
  readonly bug: string;
  readonly domains: readonly string[];
}

/** Changes that affect all patches: the harness and its servers, the tables, the package versions. */
const concernsAll = [
  /^test\/simulation\/(?!bugs\/|.*\.test\.ts$)/,
  /^test\/support\/(databases|http|lambda|log-events|own-tables)\.ts$/,
  /^local\/(mysql|processes|secrets|upstream|users)\.ts$/,
  /^migrations\//,
  /^package-lock\.json$/,
];
const inDomain = /^(?:lib|functions|events|test)\/([^/]+)\/|^infra\/([a-z]+)\.ts$/;
const inBank = /^test\/simulation\/bugs\/(.+)\.patch$/;

/**
 * Chooses the patches that `npm run test:full` runs, in the given order. Takes every changed patch, and the patches of
 * each domain that a changed path belongs to (its folder in lib/, functions/, events/ or test/, its file in infra/).
 * `lib/platform` is one domain: a change there takes the patches of lib/platform only. Takes all patches if the harness,
 * a migration or the lock file changed, or if Git does not know the base (`changed` is undefined). Of the rest it takes
 * a third, rounded up, by lowest hash with the commit: the same third for the same commit.
 */
export function choosePatches(
  patches: readonly Patch[],
  changed: readonly string[] | undefined,
  commit: string,
): string[] {
  if (!changed || changed.some((path) => concernsAll.some((one) => one.test(path))))
    return patches.map(({ bug }) => bug);
  const touched = new Set(changed.map((path) => path.match(inDomain)).map((m) => m?.[1] ?? m?.[2]));
  const ownPatches = new Set(changed.map((path) => path.match(inBank)?.[1]));
  const isTouched = ({ bug, domains }: Patch) =>
    ownPatches.has(bug) || domains.some((domain) => touched.has(domain));
  const rest = patches
    .filter((patch) => !isTouched(patch))
    .map(({ bug }) => ({ bug, hash: hashOf(`${commit} ${bug}`) }))
    .toSorted((a, b) => (a.hash < b.hash ? -1 : 1));
  const third = new Set(rest.slice(0, Math.ceil(rest.length / 3)).map(({ bug }) => bug));
  return patches.filter((patch) => isTouched(patch) || third.has(patch.bug)).map(({ bug }) => bug);
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
