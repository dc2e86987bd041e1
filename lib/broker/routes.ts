/** HTTP routes of the broker domain. */
import * as z from 'zod';
import { Refused } from '../platform/http/refusal.ts';
import { route } from '../platform/http/route.ts';
import { EventForm, eventInForm } from './form-body.ts';
import { BrokerEvent, idPattern } from './queues.ts';

/** The only channel of upstream's middleware that this system accepts. */
const tunnel = 'broker_event';

const Tunnel = z
  .string()
  .refine((name) => {
    if (name === tunnel) return true;
    throw new Refused('unknown_tunnel', `Unknown tunnel; the only one is ${tunnel}.`);
  })
  .meta({ const: tunnel });

export const acceptEventRoute = route({
  id: 'broker/accept-event',
  method: 'POST',
  path: '/publish',
  summary:
    'Receives from an upstream system which brokers, stores or companies changed; at most 100 ids.',
  who: 'signed',
  query: z.object({ tunnel: Tunnel }),
  body: BrokerEvent,
  form: eventInForm,
  formBody: EventForm,
  answers: { 202: z.object({ accepted: z.int().describe('Number of different ids.') }) },
  refuses: ['unknown_tunnel'],
});

const text = z.string().nullable();

/** Ids are decimal strings, because they may exceed 2⁵³. */
export const Profile = z.object({
  broker_id: z.string(),
  true_name: text,
  city_id: z.int().nullable(),
  company_id: text,
  company_name: text.describe('The company’s short name.'),
  store_id: text,
  store_name: text,
  store_address: text,
  photo: text,
  mobile: text,
  weidian_name: text,
  wechat_name: text,
  weidian_qrcode: text,
  is_wechat_talent: z.boolean(),
  talent_level: z.int().nullable(),
  is_star_agent: z.boolean(),
  stars: z.int().nullable(),
  updated_at: text.describe('When the broker last changed upstream, in Shanghai.'),
});
export type Profile = z.infer<typeof Profile>;

export const readProfileRoute = route({
  id: 'broker/read-profile',
  method: 'GET',
  path: '/brokers/{id}',
  summary: 'A broker’s profile as the site shows it.',
  who: 'signed',
  parameters: z.object({ id: z.string().meta({ pattern: idPattern, maxLength: 19 }) }),
  answers: { 200: Profile },
  refuses: ['invalid_body', 'not_found'],
});
