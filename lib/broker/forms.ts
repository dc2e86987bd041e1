import { Refused } from '../platform/refusal.ts';

/** The field in which upstream's middleware sends a whole message as JSON. */
const wholeMessage = 'POST_data';

/** What stands in a form: the message as JSON in one field, or its fields, of which numbers are text. */
export function publishedIn(fields: URLSearchParams): unknown {
  const json = fields.get(wholeMessage);
  if (json === null) return Object.fromEntries(Array.from(fields, coerced));
  try {
    return JSON.parse(json);
  } catch {
    throw new Refused('invalid_body', `${wholeMessage} is not JSON.`);
  }
}

/** What is no number is left to the schema, which says what it expected. */
function coerced([name, value]: [string, string]): [string, string | number] {
  const isNumber = name !== 'broker_ids' && /^-?\d{1,9}$/.test(value);
  return [name, isNumber ? Number(value) : value];
}
