/**
 * Parses a statement to find the tables that it writes to. It works on tokens, so that names in string
 * literals and comments do not count. No I/O.
 */

/** A table name. `schema` is undefined if the statement relies on the session's schema. */
export interface TableName {
  readonly schema: string | undefined;
  readonly table: string;
}

export interface Token {
  readonly kind: 'name' | 'quoted' | 'text' | 'sign';
  /** The text; names without quotes are in lower case. */
  readonly value: string;
}

const pattern = new RegExp(
  [
    /(?<comment>--(?=\s|$)[^\n]*|#[^\n]*|\/\*(?![!+])[\s\S]*?\*\/|\/\*\+[\s\S]*?\*\/)/,
    // The server executes the content of such comments, so it is code.
    /(?<code>\/\*!\d*|\*\/)/,
    /(?<single>'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*')/,
    /(?<double>"[^"\\]*(?:(?:\\[\s\S]|"")[^"\\]*)*")/,
    /(?<quoted>`[^`]*(?:``[^`]*)*`)/,
    /(?<name>[\p{L}\p{N}_$@]+)/u,
    /(?<sign>\S)/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gu',
);

export function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  for (const { groups = {} } of sql.matchAll(pattern)) {
    const { single, double, quoted, name, sign } = groups;
    if (name !== undefined) tokens.push({ kind: 'name', value: name.toLowerCase() });
    else if (quoted !== undefined) tokens.push({ kind: 'quoted', value: unquoted(quoted) });
    // With ANSI_QUOTES this is a name. Where a table name is expected it cannot be a string literal.
    else if (double !== undefined) tokens.push({ kind: 'text', value: unquoted(double) });
    else if (single !== undefined) tokens.push({ kind: 'text', value: '' });
    else if (sign !== undefined) tokens.push({ kind: 'sign', value: sign });
  }
  return tokens;
}

const unquoted = (text: string): string =>
  text.slice(1, -1).replaceAll(text.slice(0, 1).repeat(2), text.slice(0, 1));

const isWord = (token: Token | undefined, ...words: readonly string[]): boolean =>
  token?.kind === 'name' && words.includes(token.value);
const isSign = (token: Token | undefined, sign: string): boolean =>
  token?.kind === 'sign' && token.value === sign;

/** First words of statements that change rows, and of those that may call a routine that does. */
const changing = ['insert', 'replace', 'update', 'delete', 'load', 'with'];
const calling = ['select', 'do', 'call'];

/**
 * Returns the tables that a statement writes to. `unknown`: it may change rows, but its text does not
 * show of which tables. `nothing`: it changes no rows.
 */
export function targetsOf(tokens: readonly Token[]): readonly TableName[] | 'unknown' | 'nothing' {
  const statement = tokens.slice(tokens.findIndex((token) => !isSign(token, '(')));
  const [first] = statement;
  if (isWord(first, ...calling)) return 'unknown';
  if (!isWord(first, ...changing)) return 'nothing';
  // An INSERT has its common tables after its target.
  const verb = isWord(first, 'with') ? indexOf(statement, 'update', 'delete') : 0;
  return writtenIn(statement.slice(verb)) ?? 'unknown';
}

function writtenIn(tokens: readonly Token[]): readonly TableName[] | undefined {
  const [verb] = tokens;
  if (isWord(verb, 'insert', 'replace')) return firstName(skip(tokens, 1, modifiers));
  if (isWord(verb, 'load')) return firstName(tokens.slice(indexOf(tokens, 'into') + 2));
  if (isWord(verb, 'update')) return updatedIn(skip(tokens, 1, modifiers));
  if (isWord(verb, 'delete'))
    return deletedIn(skip(tokens, 1, ['low_priority', 'quick', 'ignore']));
  return undefined;
}

const modifiers = ['low_priority', 'delayed', 'high_priority', 'ignore', 'into'];

function skip(tokens: readonly Token[], from: number, words: readonly string[]): readonly Token[] {
  let at = from;
  while (isWord(tokens[at], ...words)) at += 1;
  return tokens.slice(at);
}

/** Returns the name at an index, and the index after it. */
function nameAt(
  tokens: readonly Token[],
  at: number,
): { name: TableName; next: number } | undefined {
  const part = (index: number): string | undefined => {
    const token = tokens[index];
    return token && token.kind !== 'sign' ? token.value : undefined;
  };
  const first = part(at);
  if (first === undefined) return undefined;
  if (!isSign(tokens[at + 1], '.'))
    return { name: { schema: undefined, table: first }, next: at + 1 };
  const second = part(at + 2);
  if (second === undefined) return { name: { schema: undefined, table: first }, next: at + 1 };
  return { name: { schema: first, table: second }, next: at + 3 };
}

function firstName(tokens: readonly Token[]): readonly TableName[] | undefined {
  const found = nameAt(tokens, 0);
  return found && [found.name];
}

/** Returns each token with its depth in parentheses. */
function outer(tokens: readonly Token[]) {
  let depth = 0;
  return tokens.map((token) => {
    if (isSign(token, ')')) depth -= 1;
    const at = { token, depth };
    if (isSign(token, '(')) depth += 1;
    return at;
  });
}

/** Returns the index of the first of these words outside parentheses; a word after a dot is a name. */
function indexOf(tokens: readonly Token[], ...words: readonly string[]): number {
  const at = outer(tokens).findIndex(
    ({ token, depth }, index) =>
      depth === 0 && isWord(token, ...words) && !isSign(tokens[index - 1], '.'),
  );
  return at < 0 ? tokens.length : at;
}

interface Reference {
  readonly name: TableName;
  readonly alias: string | undefined;
}

const beforeTables = ['join', 'straight_join'];
const afterTables = [
  ...['join', 'straight_join', 'inner', 'cross', 'left', 'right', 'natural', 'on', 'using'],
  ...['partition', 'use', 'force', 'ignore', 'where'],
];

/** Returns the tables named in `a, b x join (c y, d)`, without subqueries, which only read. */
function referencesIn(tokens: readonly Token[]): Reference[] {
  const references: Reference[] = [];
  let expected = true;
  for (let at = 0; at < tokens.length; ) {
    const token = tokens[at];
    if (isSign(token, '(') && isWord(tokens[at + 1], 'select', 'with', 'values', 'table')) {
      at = closing(tokens, at);
      expected = false;
      continue;
    }
    const found = expected ? nameAt(tokens, at) : undefined;
    if (found) {
      at = isWord(tokens[found.next], 'as') ? found.next + 1 : found.next;
      const alias = tokens[at];
      const named = alias && alias.kind !== 'sign' && !isWord(alias, ...afterTables);
      references.push({ name: found.name, alias: named ? alias.value : undefined });
      expected = false;
      continue;
    }
    if (isSign(token, ',') || isWord(token, ...beforeTables)) expected = true;
    at += 1;
  }
  return references;
}

/** The place of the parenthesis that closes the one at `from`. */
function closing(tokens: readonly Token[], from: number): number {
  const at = outer(tokens.slice(from)).findIndex(
    ({ token, depth }) => depth === 0 && isSign(token, ')'),
  );
  return at < 0 ? tokens.length : from + at;
}

const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** Resolves the table of a qualified column or of a delete list: an alias or a name. */
function meant({ schema, table }: TableName, references: readonly Reference[]): TableName {
  const aliased = references.find(({ alias }) => alias !== undefined && same(alias, table));
  if (schema === undefined && aliased) return aliased.name;
  const named = references.find(
    ({ name }) =>
      same(name.table, table) && (schema === undefined || same(name.schema ?? schema, schema)),
  );
  return named?.name ?? { schema, table };
}

/** Returns the tables whose columns are set; all tables if a column is not qualified. */
function updatedIn(tokens: readonly Token[]): readonly TableName[] {
  const set = indexOf(tokens, 'set');
  const references = referencesIn(tokens.slice(0, set));
  const all = references.map(({ name }) => name);
  if (all.length < 2) return all;
  const assigned = tokens.slice(set + 1);
  const targets: TableName[] = [];
  let begins = true;
  for (const [at, { token, depth }] of outer(assigned).entries()) {
    if (begins) {
      const column = columnAt(assigned, at);
      if (!column) return all;
      targets.push(meant(column, references));
    }
    begins = depth === 0 && isSign(token, ',');
  }
  return targets;
}

/** Returns the table of the column `t.c` or `s.t.c`; undefined if the column is not qualified. */
function columnAt(tokens: readonly Token[], at: number): TableName | undefined {
  const name = nameAt(tokens, at);
  if (name?.name.schema === undefined) return undefined;
  const { schema, table } = name.name;
  return isSign(tokens[name.next], '.') ? { schema, table } : { schema: undefined, table: schema };
}

/** Returns the tables of `from t where …`, `a, b.* from …`, or `from a, b using …`. */
function deletedIn(tokens: readonly Token[]): readonly TableName[] {
  const from = indexOf(tokens, 'from');
  const body = tokens.slice(from + 1);
  const using = indexOf(body, 'using');
  if (from === 0 && using === body.length)
    return referencesIn(body.slice(0, tablesEnd(body))).map(({ name }) => name);
  const listed = from > 0 ? tokens.slice(0, from) : body.slice(0, using);
  const references = referencesIn(from > 0 ? body : body.slice(using + 1));
  return referencesIn(listed).map(({ name }) => meant(name, references));
}

/** Returns the index at which the tables of `from t [alias] …` end. */
const tablesEnd = (tokens: readonly Token[]): number =>
  indexOf(tokens, 'where', 'order', 'partition');

/** Returns whether the text names this table; `order` without quotes and schema is a keyword. */
export const names = (tokens: readonly Token[], table: string): boolean =>
  tokens.some(
    (token, at) =>
      same(token.value, table) &&
      (token.kind !== 'name' || table !== 'order' || isSign(tokens[at - 1], '.')),
  );

/** Returns whether the text names a table of this schema with its schema. */
export const namesSchema = (tokens: readonly Token[], schema: string): boolean =>
  tokens.some((token, at) => same(token.value, schema) && isSign(tokens[at + 1], '.'));

/** Returns the first words, in lower case, up to a sign or quote. */
export function wordsOf(tokens: readonly Token[]): readonly string[] {
  const end = tokens.findIndex(({ kind }) => kind !== 'name');
  return tokens.slice(0, end < 0 ? tokens.length : end).map(({ value }) => value);
}

/** Returns the view or trigger that a statement creates: the name that is written to, and the text. */
export function madeBy(
  tokens: readonly Token[],
): { readonly name: TableName; readonly text: readonly Token[] } | undefined {
  if (!isWord(tokens[0], 'create', 'alter')) return undefined;
  const at = tokens.findIndex((token) => isWord(token, 'view', 'trigger', 'table', 'procedure'));
  const isView = isWord(tokens[at], 'view');
  if (!isView && !isWord(tokens[at], 'trigger')) return undefined;
  const from = tokens.findIndex((token) => isWord(token, 'on'));
  const found = nameAt(tokens, (isView ? at : from) + 1);
  return found && { name: found.name, text: tokens.slice(found.next) };
}
