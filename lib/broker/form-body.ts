/** Reads a broker event that was sent as an HTML form. */
import * as z from 'zod';
import { Refused } from '../platform/http/refusal.ts';
import { notJson } from '../platform/http/request.ts';
import { jsonIn } from '../platform/json.ts';
import { Flag, Ids, SentSource } from './queues.ts';

/** The field in which upstream's middleware sends a whole message as JSON. */
const wholeMessage = 'POST_data';
/** The fields of a message that is sent field by field. */
const messageFields = ['broker_ids', 'flag', 'source', 'source_type'];

/** Describes the form for the API documentation; `eventInForm` reads it. */
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

/** Returns the message in a form: parsed from the one field that holds JSON, or put together from the message's fields. */
export function eventInForm(fields: URLSearchParams): unknown {
  const [json, ...duplicates] = fields.getAll(wholeMessage);
  if (json === undefined) return Object.fromEntries(Array.from(fields.keys(), readField(fields)));
  const extraField = duplicates.length
    ? wholeMessage
    : messageFields.find((name) => fields.has(name));
  if (extraField)
    throw new Refused('invalid_body', `${wholeMessage} must be the only field of the message.`, {
      issues: [{ path: extraField, message: `Expected no other field beside one ${wholeMessage}` }],
    });
  try {
    return jsonIn(json);
  } catch (error) {
    throw notJson(wholeMessage, error);
  }
}

/** A field that occurs twice becomes an array of its values, which the message's schema rejects. */
const readField = (fields: URLSearchParams) => (name: string) => {
  const [value = '', ...duplicates] = fields.getAll(name);
  return [name, duplicates.length ? [value, ...duplicates] : toNumberIfNumeric(name, value)];
};

/** Text that is not a number stays text, so that the schema's error says what was expected. */
function toNumberIfNumeric(name: string, value: string): string | number {
  const isNumber = name !== 'broker_ids' && /^-?\d{1,9}$/.test(value);
  return isNumber ? Number(value) : value;
}
