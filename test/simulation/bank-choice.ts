import { createHash } from 'node:crypto';

/** A patch of the bug bank and the domains, folders of lib/, whose code it changes. */
export interface Patch {
  readonly bug: string;
  readonly domains: readonly string[];
}

/** What no patch of the bank survives unseen: the harness and what it starts, the tables, the versions of the packages. */
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
 * Chooses the patches that `npm run test:full` hunts, in the order given. Always: those of a domain that a changed
 * path belongs to (its folder in lib/, functions/, events/ or test/, its file in infra/), and those that are changed
 * themselves. `lib/platform` counts as one domain: a change there chooses the patches of lib/platform, not of all its
 * users. All: when the harness, a migration or the lock file changed, or when `changed` is undefined because Git does
 * not know the base. Of the rest: a third, rounded up, those whose hash with the commit is lowest; each commit looks
 * at another third, and the same commit at the same one.
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
