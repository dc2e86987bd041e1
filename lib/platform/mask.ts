/** Chinese mobile numbers, however they are prefixed, that are no part of a longer number. */
const phone = /(?<![\dA-Za-z])((?:\+|00)?86[- ]?|0)?(1[3-9]\d)\d{4}(\d{4})(?![\dA-Za-z])/g;
/** Identity card numbers: 17 digits and a check character. */
const identityCard = /(?<![\dA-Za-z])(\d{6})\d{8}(\d{3}[\dXx])(?![\dA-Za-z])/g;
/** WeChat access tokens and the like in a URL. */
const urlSecret = /([?&](?:access_token|token|secret|appsecret|signature|sign)=)[^&\s"']+/gi;
/** Signed URLs, of which CloudFormation's answer address is one. */
const amazonSignature = /([?&]X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"']+/gi;

/** A text with personal data and secrets made unreadable: 13812345678 becomes 138****5678. */
export function mask(text: string): string {
  return text
    .replace(phone, '$2****$3')
    .replace(identityCard, '$1********$2')
    .replace(urlSecret, '$1***')
    .replace(amazonSignature, '$1***');
}

const secretKey = /password|secret|token|authorization|identitycard|openid|unionid/i;

/**
 * What JSON.stringify calls for each value of a log line.
 * `sql` is left out: mysql2 hangs the whole statement, with its values, on its errors.
 */
export function maskedValue(key: string, value: unknown): unknown {
  if (key === 'sql') return undefined;
  if (typeof value !== 'string') return value;
  return secretKey.test(key) ? '***' : mask(value);
}
