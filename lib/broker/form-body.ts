import * as z from 'zod';
import { Refused } from '../platform/http/refusal.ts';
import { notJson } from '../platform/http/request.ts';
import { jsonIn } from '../platform/json.ts';
import { Flag, Ids, SentSource } from './queues.ts';

/** The field in which upstream's middleware sends a whole message as JSON. */
const wholeMessage = 'POST_data';
/** The fields of a message that is sent field by field. */
const messageFields = ['broker_ids', 'flag', 'source', 'source_type'];

/** What a form holds, for the description of the API: `publishedIn` reads it. */
export const EventForm = z.union([
  z
    .object({ broker_ids: Ids, flag: Flag, source: SentSource, source_type: SentSource })
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
export function eventInForm(fields: URLSearchParams): unknown {
  const [json, ...more] = fields.getAll(wholeMessage);
  if (json === undefined) return Object.fromEntries(Array.from(fields.keys(), fieldOf(fields)));
  const beside = more.length ? wholeMessage : messageFields.find((name) => fields.has(name));
  if (beside)
    throw new Refused('invalid_body', `${wholeMessage} is the whole message, alone.`, {
      issues: [{ path: beside, message: `Expected nothing beside one ${wholeMessage}` }],
    });
  try {
    return jsonIn(json);
  } catch (error) {
    throw notJson(wholeMessage, error);
  }
}

/** A field that is there twice has all its values, which no schema of a message takes. */
const fieldOf = (fields: URLSearchParams) => (name: string) => {
  const [value = '', ...more] = fields.getAll(name);
  return [name, more.length ? [value, ...more] : coerced(name, value)];
};

/** What is no number is left to the schema, which says what it expected. */
function coerced(name: string, value: string): string | number {
  const isNumber = name !== 'broker_ids' && /^-?\d{1,9}$/.test(value);
  return isNumber ? Number(value) : value;
}
