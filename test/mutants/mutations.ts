import { parseSync } from '@swc/core';

/** One small change of a module: what stands at some bytes of it, and what stands there instead. */
export interface Mutation {
  readonly start: number;
  readonly end: number;
  readonly line: number;
  readonly before: string;
  readonly after: string;
}

// biome-ignore lint/suspicious/noExplicitAny: a syntax tree is walked whatever its nodes are.
type Node = any;

const operators: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '**': ['*'],
  '+=': ['-='],
  '-=': ['+='],
};

const methods: Readonly<Record<string, string>> = {
  some: 'every',
  every: 'some',
  min: 'max',
  max: 'min',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  floor: 'ceil',
  ceil: 'floor',
  round: 'floor',
};

/** Types say nothing at run time, and what is imported has its own tests. */
const passedOver = /^(?:Ts(?!AsExpression|NonNull|Satisfies|ConstAssertion)|Import|Export(?:All|Named))/;

/** All mutations of a module's text, in their order. */
export function mutationsOf(text: string): Mutation[] {
  const bytes = Buffer.from(text);
  const found: Mutation[] = [];
  const textOf = (start: number, end: number) => bytes.subarray(start, end).toString();
  const add = (start: number, end: number, after: string) =>
    void found.push({
      ...{ start, end, after, before: textOf(start, end) },
      line: textOf(0, start).split('\n').length,
    });
  /** Its first byte is 1. */
  const placeOf = ({ span }: Node): [number, number] => [span.start - 1, span.end - 1];
  const replace = (node: Node, after: string) => add(...placeOf(node), after);

  function between(left: Node, right: Node, operator: string): void {
    const from = placeOf(left)[1];
    const gap = textOf(from, placeOf(right)[0]);
    const at = gap.indexOf(operator);
    if (at < 0) return;
    const start = from + Buffer.byteLength(gap.slice(0, at));
    for (const other of operators[operator] ?? []) add(start, start + operator.length, other);
  }

  const visitors: Readonly<Record<string, (node: Node) => void>> = {
    BinaryExpression: ({ left, right, operator }) => between(left, right, operator),
    AssignmentExpression: ({ left, right, operator }) => between(left, right, operator),
    UnaryExpression: (node) => {
      if (node.operator !== '!' && node.operator !== '-') return;
      replace(node, `(${textOf(...placeOf(node.argument))})`);
    },
    ConditionalExpression: ({ test }) => {
      replace(test, 'true');
      replace(test, 'false');
    },
    IfStatement: ({ test }) => {
      replace(test, 'true');
      replace(test, 'false');
    },
    WhileStatement: ({ test }) => replace(test, 'false'),
    ForStatement: ({ test }) => test && replace(test, 'false'),
    BooleanLiteral: (node) => replace(node, String(!node.value)),
    NumericLiteral: (node) => replace(node, String(node.value + 1)),
    BigIntLiteral: (node) => replace(node, `${BigInt(node.value) + 1n}n`),
    StringLiteral: (node) => replace(node, node.value === '' ? "'mutant'" : "''"),
    TemplateLiteral: (node) => replace(node, '``'),
    ExpressionStatement: (node) => replace(node, ';'),
    ContinueStatement: (node) => replace(node, ';'),
    BreakStatement: (node) => replace(node, ';'),
    ArrayExpression: (node) => node.elements.length && replace(node, '[]'),
    MemberExpression: ({ property }) => {
      const other = property.type === 'Identifier' ? methods[property.value] : undefined;
      if (other) replace(property, other);
    },
  };

  function walk(node: Node): void {
    if (Array.isArray(node)) return node.forEach(walk);
    if (typeof node !== 'object' || node === null) return;
    if (typeof node.type === 'string') {
      if (passedOver.test(node.type)) return;
      visitors[node.type]?.(node);
    }
    for (const [key, value] of Object.entries(node)) {
      // The name of a property is no text of its own.
      const isName = key === 'key' && (value as Node)?.type === 'StringLiteral';
      if (key !== 'span' && key !== 'typeAnnotation' && !isName) walk(value);
    }
  }

  walk(parseSync(text, { syntax: 'typescript', target: 'es2024' }).body);
  return found.toSorted((a, b) => a.start - b.start || a.end - b.end);
}

/** The module's text with one mutation. */
export function mutated(text: string, { start, end, after }: Mutation): string {
  const bytes = Buffer.from(text);
  return `${bytes.subarray(0, start)}${after}${bytes.subarray(end)}`;
}
