/** What is wrong with a value that does not fit its schema, for people. */
import type * as z from 'zod';

/** What is wrong with one field of a value, such as a body or a query; `path` is empty for the whole value. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** An invalid value as one line per field: `broker_ids: Invalid input: expected string`. */
export const issuesOf = (error: Pick<z.ZodError, 'issues'>): string =>
  lineOf(issuesIn(error), '; ');

/** The same as a list. */
export const issuesIn = ({ issues }: Pick<z.ZodError, 'issues'>): Issue[] =>
  issues.flatMap((issue) => unfolded(issue, []));

const lineOf = (issues: readonly Issue[], between: string): string =>
  issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join(between);

/**
 * Zod's own text for a value that fits none of several forms names neither field nor form: the form that it comes
 * nearest to, by the number of its issues, says what was expected. Several such forms are one issue.
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

/** Forms that say something about the same field are an issue of that field, others one of what has the fields. */
function eitherOf(forms: readonly Issue[][], whole: string): Issue {
  const [path = whole, ...others] = new Set(forms.flat().map((issue) => issue.path));
  const isOneField = !others.length;
  const texts = forms.map((issues) =>
    isOneField ? issues.map(({ message }) => message).join('; ') : lineOf(issues, '; '),
  );
  return { path: isOneField ? path : whole, message: [...new Set(texts)].join(', or ') };
}
