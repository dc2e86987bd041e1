/** What is wrong with a value that does not fit its schema, for people. */
import type * as z from 'zod';

/** What is wrong with one field of a value, such as a body or a query; `path` is empty for the whole value. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** Returns the issues of an invalid value as one line: `broker_ids: Invalid input: expected string`. */
export const issuesOf = (error: Pick<z.ZodError, 'issues'>): string =>
  lineOf(issuesIn(error), '; ');

/** Returns the issues of an invalid value as a list. */
export const issuesIn = ({ issues }: Pick<z.ZodError, 'issues'>): Issue[] =>
  issues.flatMap((issue) => unfolded(issue, []));

const lineOf = (issues: readonly Issue[], between: string): string =>
  issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join(between);

/**
 * Replaces Zod's text for a value that fits no member of a union, because it names neither field nor member. The
 * member with the fewest issues says what was expected; several such members become one issue.
 */
function unfolded(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): Issue[] {
  const path = [...above, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input' || !issue.errors.length)
    return [{ path: path.join('.'), message: issue.message }];
  const fewest = Math.min(...issue.errors.map(({ length }) => length));
  const nearest = issue.errors
    .filter(({ length }) => length === fewest)
    .map((issues) => issues.flatMap((one) => unfolded(one, path)));
  const [form = [], ...others] = nearest;
  if (!others.length) return form;
  return [eitherOf(nearest, path.join('.'))];
}

/**
 * Returns one issue for several union members: about the field, if all issues concern one field, otherwise about the
 * value that has the fields.
 */
function eitherOf(forms: readonly Issue[][], whole: string): Issue {
  const [path = whole, ...others] = new Set(forms.flat().map((issue) => issue.path));
  const isOneField = !others.length;
  const texts = forms.map((issues) =>
    isOneField ? issues.map(({ message }) => message).join('; ') : lineOf(issues, '; '),
  );
  return { path: isOneField ? path : whole, message: [...new Set(texts)].join(', or ') };
}
