/** The formats of signature headers, for the check and the API documentation. */

/** The maximum age of a signed request, and the maximum time by which it may be ahead of our clock. */
export const windowSeconds = 300;

/**
 * The formats of the signature headers. A nonce contains no dot, so that the signed text can be split in one way only.
 */
export const signatureFormats = {
  key: /^.{1,100}$/s,
  timestamp: /^\d{1,12}$/,
  nonce: /^[\w+/=:~-]{1,100}$/,
  signature: /^[\da-fA-F]{64}$/,
};
