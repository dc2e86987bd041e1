/** A UUID, parts of which may look like a telephone number. */
const uuid = /[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}/;
/**
 * Chinese mobile numbers, however they are prefixed and parted, that are no part of a longer number, of a fraction or
 * of a UUID, where one may be all of the last part or the three parts of four.
 */
const phone =
  /(?<![\dA-Za-z]|\d\.|[\da-f]{8}-(?:[\da-f]{4}-){3}|[\da-f]{8}-(?=(?:[\da-f]{4}-){3}[\da-f]{12}))((?:\+|00)?86[- ]?|0)?(1[3-9]\d)([- ]?)\d{4}\3(\d{4})(?![\dA-Za-z]|\.\d)/g;
/**
 * Chinese landline numbers with their area code, however they are prefixed and parted; no part of a longer number, of a
 * UUID, or of an ARN or a queue's address, where twelve digits are an account.
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
/** A number under a name that says whose it is, whatever its form: one without its area code, or with an extension. */
const named =
  /(?<![A-Za-z])((?:caller|callee|phone|mobile|telephone)(?:_digits)?\\*["']?\s*[:=]\s*\\*["']?)\+?\d[\d ()-]{0,14}(\d{4})(?![\d*])/gi;
/** Identity card numbers: a region, a date of birth, three digits and a check character. */
const identityCard =
  /(?<![\dA-Za-z])([1-9]\d{5})(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(\d{3}[\dXx])(?![\dA-Za-z])/g;
/** WeChat's names of a person (openid, unionid); a hyphenated word of that length has no capital and no digit. */
const openid = /(?<![\w-])o(?=[a-z_-]*[A-Z\d])[\w-]{23}([\w-]{4})(?![\w-])/g;
/** The value of a parameter in a URL or a form whose name says that it is secret. */
const parameter =
  /(?<![a-z\d])((?:access_?token|token|(?:app|client)?secret|password|passwd|pwd|api_?key|ticket|signature|sign|js_code)=)[^&\s"'\\<>]+/gi;
/** The same in JSON, also where it stands in a text of JSON or is cut off, and as Node prints objects. */
const property =
  /((?:token|secret|password|passwd|pwd|api_?key|authorization|signature|ticket)(\\*["'])?\s*:\s*)(\\*)(["'])(?:(?!\3\4)(?:\\.|.))+(?:\3\4|$)/gim;
/** Signed URLs, of which CloudFormation's answer address is one. */
const amazonSignature = /([?&]X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"']+/gi;
/** What follows the scheme of an Authorization header; words of ten letters and no digit may be prose. */
const authorization = /\b(Bearer|Basic|Token)( +)(?=[A-Za-z+/_.~-]*[\d=])[\w+/.~-]{8,}=*/g;
/** JSON Web Tokens, wherever they stand. */
const webToken = /\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*/g;
/** The password in the address of a server. */
const userinfo = /(:\/\/[^\s:@/]{1,100}:)[^\s@/]+@/g;

/** In this order. A pattern is only tried on a text that holds `needs`: most texts of a log hold none of these. */
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

/** A UUID or a time, of which each line of a log has some: the rules change neither, and take longer to find that out. */
const plain = new RegExp(
  `^(?:${uuid.source}|${/\d{4}(?:[-T:.]\d\d){5}\.\d{3}(?:Z|\+08:00)/.source})$`,
);

/** A text with personal data and secrets made unreadable: 13812345678 becomes 138****5678, 02162345678 021****5678. */
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
 * What JSON.stringify calls for each value of a log line.
 * `sql` is left out: mysql2 hangs the whole statement, with its values, on its errors.
 */
export function maskedValue(key: string, value: unknown): unknown {
  if (key === 'sql') return undefined;
  if (typeof value === 'number') return maskedNumber(key, value);
  if (typeof value !== 'string') return value;
  return secretKey.test(key) ? '***' : maskedUnder(key, value);
}

/** A telephone number may have come as a number. */
function maskedNumber(key: string, value: number): number | string {
  const text = String(value);
  const masked = maskedUnder(key, text);
  return masked === text ? value : masked;
}

/** Under the name of a telephone number, a number is one, even without an area code. */
function maskedUnder(key: string, text: string): string {
  const masked = mask(text);
  return numberKey.test(key) ? masked.replace(bareNumber, '****$1') : masked;
}
