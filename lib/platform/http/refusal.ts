/** The codes with which a request can be refused, and their answers. */
import type { Issue } from '../issues.ts';
import type { OutcomeWord } from '../outcomes.ts';

/** The error codes of a refusal body, and their HTTP statuses. */
export const refusalStatuses = {
  invalid_body: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  unknown_tunnel: 404,
  conflict: 409,
  drawn_today: 409,
  sold_out: 409,
  too_large: 413,
  too_many_requests: 429,
  internal: 500,
  unavailable: 503,
} as const;
export type RefusalCode = keyof typeof refusalStatuses;

interface Details {
  readonly issues?: readonly Issue[];
  /** The seconds after which a retry makes sense; becomes Retry-After. */
  readonly retryAfterSeconds?: number;
  /** The outcome word for the log, if the code is not precise enough. */
  readonly outcome?: OutcomeWord;
}

/** An answer that refuses a request. */
export interface Refusal<Code extends RefusalCode = RefusalCode> {
  readonly code: Code;
  readonly outcome: OutcomeWord;
  readonly status: (typeof refusalStatuses)[Code];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: {
    readonly error: {
      readonly code: Code;
      readonly message: string;
      readonly issues?: readonly Issue[];
    };
  };
}

type KebabCase<Text extends string> = Text extends `${infer Head}_${infer Rest}`
  ? `${Head}-${KebabCase<Rest>}`
  : Text;

/** Returns the outcome of a refusal: its code in kebab case. The compiler checks that each code has one. */
const outcomeOf = (code: RefusalCode): OutcomeWord =>
  code.replaceAll('_', '-') as KebabCase<RefusalCode> satisfies OutcomeWord;

/** Returns a refusal with a message for the caller: `refusal('not_found', 'No such broker.')`. */
export function refusal<const Code extends RefusalCode>(
  code: Code,
  message: string,
  { issues, retryAfterSeconds, outcome = outcomeOf(code) }: Details = {},
): Refusal<Code> {
  return {
    code,
    outcome,
    status: refusalStatuses[code],
    headers: retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) },
    body: { error: { code, message, ...(issues && { issues }) } },
  };
}

/** A refusal as an error, for code that cannot return an answer. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly refusal: Refusal;

  constructor(code: RefusalCode, message: string, details?: Details) {
    super(message);
    this.refusal = refusal(code, message, details);
  }
}
