import * as z from 'zod';
import { Refused } from '../platform/refusal.ts';
import { Flag, Ids, Sent } from './queues.ts';

/** The field in which upstream's middleware sends a whole message as JSON. */
const wholeMessage = 'POST_data';

/** What a form holds, for the description of the API: `publishedIn` reads it. */
export const PublishedForm = z.union([
  z
    .object({ broker_ids: Ids, flag: Flag, source: Sent, source_type: Sent })
    .meta({ title: 'The fields of the message' }),
  z
    .object({
      [wholeMessage]: z.string().meta({
        contentMediaType: 'application/json',
        description: 'The whole message as JSON, as the body of application/json.',
        examples: ['{"broker_ids":"1,2","flag":2,"source":1}'],
      }),
    })
    .meta({ title: 'The message as JSON in one field' }),
]);

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
