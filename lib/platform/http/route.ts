import type * as z from 'zod';
import type { Id } from '../names.ts';
import type { OutcomeWord } from '../outcomes.ts';
import type { Refusal, RefusalCode } from './refusal.ts';

/** What the `roles` claim of a person's token may hold. */
export const roles = ['operator', 'authoriser', 'support'] as const;
type Role = (typeof roles)[number];
/** A way to be let in: an upstream system's signature, or a person's token with a role. */
export type Entitlement = 'signed' | Role;

/** What infrastructure needs to know of a route, whatever it carries. */
export interface RouteName<Name extends Id = Id> {
  /** The id of the one function that answers it. */
  readonly id: Name;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** As API Gateway has it: `/brokers/{id}`. */
  readonly path: `/${string}`;
  /** One of these is enough; nobody is asked where it is empty. */
  readonly who: readonly Entitlement[];
}

interface Shape extends Omit<RouteName, 'who'> {
  /** A sentence for the documentation. */
  readonly summary: string;
  /** What stands in the path's braces; what does not fit is `not_found`. */
  readonly parameters?: z.ZodObject;
  /** The query string's values, all of them text; a name given twice has both, joined by a comma. */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The media type of a body that is not JSON: its schema then gets the text. */
  readonly bodyMedia?: string;
  /** Makes of a form's fields what `body` reads, where callers may send a form instead of JSON. */
  readonly form?: (fields: URLSearchParams) => unknown;
  /** What such a form holds, for the description; the body's own fields where it is not given. */
  readonly formBody?: z.ZodType;
  /** By status: the schema of a JSON body, or the media type of a text. */
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
  /** The codes that the handler itself refuses with; those of the platform come by themselves. */
  readonly refuses?: readonly RefusalCode[];
}

interface Given extends Shape {
  readonly who: 'anyone' | Entitlement | readonly Entitlement[];
}

/** Who calls. */
export interface Caller {
  /** `upstream:<key>`, `person:<subject of the token>` or `anyone`: what logs and the audit trail say. */
  readonly name: string;
  readonly may: readonly Entitlement[];
}

/** What a handler gets of a request. */
export interface Request<Body = unknown, Query = unknown, Parameters = unknown> {
  readonly body: Body;
  readonly query: Query;
  readonly parameters: Parameters;
  readonly caller: Caller;
  /** When API Gateway received it. */
  readonly at: Date;
  /** As they came, by names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** What every answer has. */
export interface Answer {
  readonly status: number;
  /** The word for what was done, for the log. */
  readonly outcome: OutcomeWord;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export type AnyHandle = (request: never) => Promise<Answer> | Answer;

/**
 * A request that a function answers: one value for the route, the check, the documentation and tests.
 * `Handle` is the type of the function that can answer it.
 */
export interface Route<Handle = unknown> extends Shape, RouteName {
  /** Never there: it only carries the type. */
  readonly handle?: Handle;
}

/** What the handler of a route may answer: `AnswerOf<typeof showBroker>`. */
export type AnswerOf<R> =
  R extends Route<(request: never) => infer Given> ? Exclude<Given, Promise<unknown>> : never;

/**
 * Describes a route. `who: 'anyone'` asks for nothing; of several entitlements one is enough.
 * Throws where the path's braces and `parameters` name different things.
 */
export function route<const G extends Given>(
  given: G,
): Route<HandleOf<G>> & { readonly id: G['id'] } {
  const braces = Array.from(given.path.matchAll(/\{(\w+)\}/g), ([, name]) => name);
  const named = Object.keys(given.parameters?.shape ?? {});
  if (braces.toSorted().join() !== named.toSorted().join())
    throw new Error(`${given.id}: ${given.path} and its \`parameters\` (${named}) differ.`);
  const who = [given.who].flat() as readonly ('anyone' | Entitlement)[];
  return { ...given, who: who.filter((one) => one !== 'anyone') };
}

type HandleOf<G extends Given> = (
  request: Request<Parsed<G, 'body'>, Parsed<G, 'query'>, Parsed<G, 'parameters'>>,
) => Promise<Answers<G>> | Answers<G>;

type Parsed<G, Key extends string> = G extends { readonly [K in Key]: z.ZodType<infer Value> }
  ? Value
  : undefined;

type Sent<Schema> = Schema extends z.ZodType ? z.input<Schema> : string;

/** A status and body that the route names, or a refusal with one of its codes. */
type Answers<G extends Given> =
  | {
      readonly [Status in keyof G['answers'] & number]: {
        readonly status: Status;
        readonly outcome: OutcomeWord;
        readonly body: Sent<G['answers'][Status]>;
        readonly headers?: Readonly<Record<string, string>>;
      };
    }[keyof G['answers'] & number]
  | (G extends { readonly refuses: readonly (infer Code extends RefusalCode)[] }
      ? Refusal<Code>
      : never);
