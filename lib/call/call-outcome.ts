/** The result type of this domain's use cases: an outcome word with its facts. */
import type { Outcome } from '../platform/lambda/log.ts';

export type CallOutcome = Exclude<Outcome, string>;
