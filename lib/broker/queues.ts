/** The queue of broker events, and the schema of its messages. */
import * as z from 'zod';
import { idMax, isId } from '../platform/ids.ts';
import { queue } from '../platform/messaging/queue.ts';

/** The values of a message's `source`: which of our tables changed, and which upstream rows it is read from. */
export const sources = {
  base: 1,
  weidian: 2,
  talentAndStar: 3,
  all: 99,
  store: 100,
  company: 101,
} as const;
export type Source = (typeof sources)[keyof typeof sources];
const sourceNumbers = [0 as const, ...Object.values(sources)];

export const flags = { created: 1, updated: 2, deleted: 3 } as const;

/** The most ids in one message; publishers split longer lists. */
export const idsPerMessageMax = 100;

/** The form of an id (`isId`) for the API description; a pattern cannot express the upper limit of 19-digit ids. */
export const idPattern = '^[1-9][0-9]{0,18}$';
const idsPattern = `^[1-9][0-9]{0,18}(,[1-9][0-9]{0,18}){0,${idsPerMessageMax - 1}}$`;
const idsText = {
  pattern: idsPattern,
  maxLength: idsPerMessageMax * 20 - 1,
  description: `1 to ${idsPerMessageMax} ids, joined by commas; each at most ${idMax}.`,
  examples: ['1,2'],
};

/** Upstream tables write "none" as 0 in a column of ids; an upstream row with the id 0 is a mistake. */
const noId = '0';

/** Parses a comma-separated list into unique ids. A `tolerated` id among them is returned apart, as `unusable`. */
const idsSchema = (tolerated?: string) =>
  z
    .string()
    .meta(idsText)
    .transform((text, context) => {
      const problem = (message: string) => {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      };
      const all = text.split(',');
      const ids = all.filter((id) => id !== tolerated);
      const wrong = ids.length ? all.findIndex((id) => !isId(id) && id !== tolerated) : 0;
      if (wrong >= 0)
        return problem(`Expected positive ids joined by commas; number ${wrong + 1} is not an id`);
      if (all.length > idsPerMessageMax)
        return problem(`Expected at most ${idsPerMessageMax} ids, received ${all.length}`);
      const unusable = all.filter((id) => id === tolerated);
      return { ids: [...new Set(ids)], unusable: [...new Set(unusable)] };
    });

export const SentSource = z
  .union([z.literal(''), z.literal(sourceNumbers)], `Expected one of ${sourceNumbers.join(', ')}`)
  .nullish();
/** Upstream systems send 0 for base, and an empty text for none. */
const toSource = (sent: z.infer<typeof SentSource>) =>
  sent === 0 ? sources.base : sent || undefined;

export const Flag = z.literal(
  Object.values(flags),
  `Expected one of ${Object.values(flags).join(', ')}`,
);

/** The ids of a message, without duplicates. */
export const Ids = idsSchema();

const eventSchema = (broker_ids: ReturnType<typeof idsSchema>) =>
  z
    .object({ broker_ids, flag: Flag, source: SentSource, source_type: SentSource })
    .transform(({ broker_ids: { ids, unusable }, flag, source, source_type }, context) => {
      const given = toSource(source);
      const alias = toSource(source_type);
      if (given && alias && given !== alias) {
        const message = `source (${source}) and source_type (${source_type}) differ`;
        context.addIssue({ code: 'custom', path: ['source'], message });
        return z.NEVER;
      }
      return { ids, unusable, flag, source: given ?? alias ?? sources.base };
    });

/**
 * `broker_event` in the form that upstream systems have always sent: `{"broker_ids":"1,2","flag":2,"source":1}`.
 * Parsed to `{ids, flag, source}`: duplicate ids are removed, and a missing source means base. `source_type` is an
 * alias of `source`.
 */
export const BrokerEvent = eventSchema(Ids).transform(({ ids, flag, source }) => ({
  ids,
  flag,
  source,
}));
export type BrokerEvent = z.infer<typeof BrokerEvent>;

/** The same message on the queue, where an id 0 is left out (`unusable`), so that the other ids are still applied. */
const QueuedEvent = eventSchema(idsSchema(noId));

export const brokerEvents = queue('broker/apply-event', QueuedEvent);
