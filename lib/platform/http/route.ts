/** The types of routes and of the requests and answers that they describe. */
import type * as z from 'zod';
import type { Id } from '../names.ts';
import type { OutcomeWord } from '../outcomes.ts';
import type { Refusal, RefusalCode } from './refusal.ts';

/** The roles that the `roles` claim of a person's token may contain. */
export const roles = ['operator', 'authoriser', 'support'] as const;
type Role = (typeof roles)[number];
/** The proof that a caller needs: the signature of an upstream system, or a person's token with a role. */
export type Entitlement = 'signed' | Role;

/** What infrastructure needs to know of a route, whatever it carries. */
export interface RouteName<Name extends Id = Id> {
  /** The id of the one function that answers it. */
  readonly id: Name;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** The path in the form of API Gateway: `/brokers/{id}`. */
  readonly path: `/${string}`;
  /** Entitlements of which a caller needs one. Empty: open to anyone. */
  readonly who: readonly Entitlement[];
}

interface Shape extends Omit<RouteName, 'who'> {
  /** A sentence for the API documentation. */
  readonly summary: string;
  /** The schema of the path parameters. Values that do not match are `not_found`. */
  readonly parameters?: z.ZodObject;
  /**
   * The schema of the query string's values, all of them texts. A name that occurs twice has both values, joined by a
   * comma.
   */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The media type of a body that is not JSON. Its schema then gets the text. */
  readonly bodyMedia?: string;
  /** Converts the fields of a form to the input of `body`, for routes that accept a form instead of JSON. */
  readonly form?: (fields: URLSearchParams) => unknown;
  /** The fields of such a form, for the documentation; by default those of the body. */
  readonly formBody?: z.ZodType;
  /** The schema of a JSON body, or the media type of a text, by status. */
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
  /** The codes of the handler's own refusals. The platform's are added. */
  readonly refuses?: readonly RefusalCode[];
}

interface Given extends Shape {
  readonly who: 'anyone' | Entitlement | readonly Entitlement[];
}

/** The caller of a route. */
export interface Caller {
  /** `upstream:<key>`, `person:<subject of the token>` or `anyone`, for logs and the audit trail. */
  readonly name: string;
  readonly may: readonly Entitlement[];
}

/** The validated request, as a handler gets it. */
export interface Request<Body = unknown, Query = unknown, Parameters = unknown> {
  readonly body: Body;
  readonly query: Query;
  readonly parameters: Parameters;
  readonly caller: Caller;
  /** The time at which API Gateway received the request. */
  readonly at: Date;
  /** The unchanged headers by lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** The properties of every answer. */
export interface Answer {
  readonly status: number;
  /** The outcome word, for the log. */
  readonly outcome: OutcomeWord;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export type AnyHandle = (request: never) => Promise<Answer> | Answer;

/**
 * A route: one value for the infrastructure, the validation, the documentation and tests. `Handle` is the type of the
 * function that can answer it.
 */
export interface Route<Handle = unknown> extends Shape, RouteName {
  /** Never set; it only carries the type. */
  readonly handle?: Handle;
}

/** The answers that the handler of a route may return: `AnswerOf<typeof showBroker>`. */
export type AnswerOf<R> =
  R extends Route<(request: never) => infer Given> ? Exclude<Given, Promise<unknown>> : never;

/**
 * Describes a route. `who: 'anyone'` opens it to all; of several entitlements a caller needs one. Throws if the path
 * and `parameters` name different parameters.
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

/** An answer with a status and body that the route lists, or a refusal with one of its codes. */
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
