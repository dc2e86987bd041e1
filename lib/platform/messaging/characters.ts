/** Characters that SQS refuses, among them halves of a pair of surrogates. https://www.w3.org/TR/REC-xml/#charsets */
const refused = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

const hexOf = (character: string): string => character.charCodeAt(0).toString(16).padStart(4, '0');

/** A text that SQS takes: what it refuses is written as `\u0001`, which means the same in a string of JSON. */
export const escaped = (text: string): string => text.replace(refused, (one) => `\\u${hexOf(one)}`);

/** A message as JSON that SQS takes. */
export const jsonOf = (message: unknown): string => escaped(JSON.stringify(message));

/** The first character that SQS refuses, as `U+FFFF`. */
export function firstRefused(text: string): string | undefined {
  const at = text.search(refused);
  return at < 0 ? undefined : `U+${hexOf(text.charAt(at)).toUpperCase()}`;
}
