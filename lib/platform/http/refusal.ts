import type { Issue } from '../issues.ts';
import type { OutcomeWord } from '../outcomes.ts';

/** Why a request is refused, as the error body's `code`, and the status that goes with it. */
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
  /** When it is worth trying again; becomes Retry-After. */
  readonly retryAfterSeconds?: number;
  /** The word for the log, where the code does not say enough. */
  readonly outcome?: OutcomeWord;
}

/** An answer that says no. */
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

/** Says no to a caller, who is shown the message: `refusal('not_found', 'No such broker.')`. */
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

/** The same as an error, for what is found out deep inside. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly refusal: Refusal;

  constructor(code: RefusalCode, message: string, details?: Details) {
    super(message);
    this.refusal = refusal(code, message, details);
  }
}
