/** Masks personal data and secrets in log lines and answers. */

/** Matches a UUID, parts of which may look like a telephone number. */
const uuid = /[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}/;
/**
 * Matches Chinese mobile numbers with any prefix and separators, but not parts of a longer number, of a fraction or of
 * a UUID (whose last part, or three parts of four, may look like one).
 */
const phone =
  /(?<![\dA-Za-z]|\d\.|[\da-f]{8}-(?:[\da-f]{4}-){3}|[\da-f]{8}-(?=(?:[\da-f]{4}-){3}[\da-f]{12}))((?:\+|00)?86[- ]?|0)?(1[3-9]\d)([- ]?)\d{4}\3(\d{4})(?![\dA-Za-z]|\.\d)/g;
/**
 * Matches Chinese landline numbers with their area code, any prefix and separators, but not parts of a longer number,
 * of a UUID, or of an ARN or a queue URL, where twelve digits are an account.
 */
const landline = new RegExp(
  [
    /(?<![\dA-Za-z]|\d\.|[\da-f]{8}-(?:[\da-f]{4}-){2,3}|[\da-f]{8}-(?=(?:[\da-f]{4}-){3}[\da-f]{12}))/,
    new RegExp(`(?!${uuid.source})`),
    /(?:(?:(?:\+|00)86[- ]?|86[- ])\(?0?|\(?0)(10|2\d|[3-9]\d{2})\)?[- ]?[2-8]\d{2,3}[- ]?(\d{4})/,
    /(?![\dA-Za-z]|\.\d|[:/][a-z])/,
  ]
    .map(({ source }) => source)
    .join(''),
  'g',
);
/**
 * Matches a number of any form, also without area code or with an extension, after a name that says that it is a
 * telephone number.
 */
const named =
  /(?<![A-Za-z])((?:caller|callee|phone|mobile|telephone)(?:_digits)?\\*["']?\s*[:=]\s*\\*["']?)\+?\d[\d ()-]{0,14}(\d{4})(?![\d*])/gi;
/** Matches identity card numbers: a region, a date of birth, three digits and a check character. */
const identityCard =
  /(?<![\dA-Za-z])([1-9]\d{5})(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(\d{3}[\dXx])(?![\dA-Za-z])/g;
/** Matches WeChat's ids of a person (openid, unionid). A hyphenated word of that length has no capital and no digit. */
const openid = /(?<![\w-])o(?=[a-z_-]*[A-Z\d])[\w-]{23}([\w-]{4})(?![\w-])/g;
/** Matches the value of a URL or form parameter whose name says that it is secret. */
const parameter =
  /(?<![a-z\d])((?:access_?token|token|(?:app|client)?secret|password|passwd|pwd|api_?key|ticket|signature|sign|js_code)=)[^&\s"'\\<>]+/gi;
/**
 * Matches the value of such a property in JSON, also in JSON within a string or cut off, and in the form in which Node
 * prints objects.
 */
const property =
  /((?:token|secret|password|passwd|pwd|api_?key|authorization|signature|ticket)(\\*["'])?\s*:\s*)(\\*)(["'])(?:(?!\3\4)(?:\\.|.))+(?:\3\4|$)/gim;
/** Matches the secret parameters of signed URLs, such as CloudFormation's response URL. */
const amazonSignature = /([?&]X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"']+/gi;
/** Matches the credentials of an Authorization header. Words of ten letters without a digit may be prose. */
const authorization = /\b(Bearer|Basic|Token)( +)(?=[A-Za-z+/_.~-]*[\d=])[\w+/.~-]{8,}=*/g;
/** Matches JSON Web Tokens in any place. */
const webToken = /\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g;
/** Matches the password in the URL of a server. */
const userinfo = /(:\/\/[^\s:@/]{1,100}:)[^\s@/]+@/g;

/**
 * The rules, in the order in which they are applied. A pattern is only tried on a text that contains `needs`, because
 * most texts of a log contain none of these.
 */
const rules = [
  { needs: '://', pattern: userinfo, by: '$1***@' },
  { needs: '=', pattern: amazonSignature, by: '$1***' },
  { needs: '=', pattern: parameter, by: '$1***' },
  { needs: ':', pattern: property, by: '$1$3$4***$3$4' },
  { needs: 'eyJ', pattern: webToken, by: 'eyJ***' },
  { needs: ' ', pattern: authorization, by: '$1$2***' },
  { needs: '', pattern: identityCard, by: '$1********$2', lengthMin: 18 },
  { needs: 'o', pattern: openid, by: 'o****$1', lengthMin: 28 },
  { needs: '1', pattern: phone, by: '$2****$4', lengthMin: 11 },
  { needs: '', pattern: landline, by: '0$1****$2', lengthMin: 10 },
  { needs: '', pattern: named, by: '$1****$2', lengthMin: 11 },
];

/**
 * Matches a UUID or a time, which are frequent in log lines. No rule changes either, and checking the rules takes
 * longer.
 */
const plain = new RegExp(
  `^(?:${uuid.source}|${/\d{4}(?:[-T:.]\d\d){5}\.\d{3}(?:Z|\+08:00)/.source})$`,
);

/**
 * Returns a text with personal data and secrets masked: 13812345678 becomes 138****5678, 02162345678 becomes
 * 021****5678.
 */
export function mask(text: string): string {
  if (plain.test(text)) return text;
  let masked = text;
  for (const { needs, pattern, by, lengthMin = 0 } of rules)
    if (masked.length >= lengthMin && masked.includes(needs)) masked = masked.replace(pattern, by);
  return masked;
}

const secretKey =
  /password|passwd|^pwd$|secret|token|authorization|api_?key|cookie|identity_?card|openid|unionid/i;

const numberKey = /^(caller|callee|phone|mobile|telephone)(_?digits)?$/i;
const bareNumber = /^\+?\d[\d ()-]*(\d{4})/;

/**
 * Replaces each value of a log line, for JSON.stringify. `sql` is left out, because mysql2 attaches the whole
 * statement with its values to its errors.
 */
export function maskedValue(key: string, value: unknown): unknown {
  if (key === 'sql') return undefined;
  if (typeof value === 'number') return maskedNumber(key, value);
  if (typeof value !== 'string') return value;
  return secretKey.test(key) ? '***' : maskedUnder(key, value);
}

/** Masks a telephone number that is a JSON number. */
function maskedNumber(key: string, value: number): number | string {
  const text = String(value);
  const masked = maskedUnder(key, text);
  return masked === text ? value : masked;
}

/** Masks a text. If its key names a telephone number, a bare number without area code is masked, too. */
function maskedUnder(key: string, text: string): string {
  const masked = mask(text);
  return numberKey.test(key) ? masked.replace(bareNumber, '****$1') : masked;
}
