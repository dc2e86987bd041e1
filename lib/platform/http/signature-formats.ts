/** How old, or how far in the future, a signed request may be. */
export const windowSeconds = 300;

/** What the headers of a signature look like. A nonce holds no dot: the signed text can be taken apart in one way only. */
export const signatureFormats = {
  key: /^.{1,100}$/s,
  timestamp: /^\d{1,12}$/,
  nonce: /^[\w+/=:~-]{1,100}$/,
  signature: /^[\da-fA-F]{64}$/,
};
