import * as z from 'zod';
import { idMax, isId } from '../platform/ids.ts';
import { queue } from '../platform/messaging/queue.ts';

/** What a change is about (`source`): which of our tables, and which upstream rows it is read from. */
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

/** As many ids as one message may carry; publishers split longer lists. */
export const idsPerMessageMax = 100;

/** The form of an id (`isId`) for descriptions of the API; it cannot say how large the last nineteen digits may be. */
export const idPattern = '^[1-9][0-9]{0,18}$';
const idsPattern = `^[1-9][0-9]{0,18}(,[1-9][0-9]{0,18}){0,${idsPerMessageMax - 1}}$`;
const idsText = {
  pattern: idsPattern,
  maxLength: idsPerMessageMax * 20 - 1,
  description: `1 to ${idsPerMessageMax} ids, joined by commas; each at most ${idMax}.`,
  examples: ['1,2'],
};

/** How upstream tables write "none" in a column of ids; a row of that id is a mistake of theirs. */
const noId = '0';

/** The ids of a text, each once; those of `passed` are allowed to be among them, and are told apart. */
const idsIn = (passed: readonly string[]) =>
  z
    .string()
    .meta(idsText)
    .transform((text, context) => {
      const problem = (message: string) => {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      };
      const all = text.split(',');
      const ids = all.filter((id) => !passed.includes(id));
      const wrong = ids.length ? all.findIndex((id) => !isId(id) && !passed.includes(id)) : 0;
      if (wrong >= 0)
        return problem(`Expected positive ids joined by commas; number ${wrong + 1} is none`);
      if (all.length > idsPerMessageMax)
        return problem(`${all.length} ids; at most ${idsPerMessageMax}`);
      const unusable = all.filter((id) => passed.includes(id));
      return { ids: [...new Set(ids)], unusable: [...new Set(unusable)] };
    });

export const SentSource = z
  .union([z.literal(''), z.literal(sourceNumbers)], `Expected one of ${sourceNumbers.join(', ')}`)
  .nullish();
const known = (source: z.infer<typeof SentSource>) =>
  source === '' || source == null ? undefined : source === 0 ? sources.base : source;

export const Flag = z.literal(
  Object.values(flags),
  `Expected one of ${Object.values(flags).join(', ')}`,
);

/** The ids of a message, each once. */
export const Ids = idsIn([]);

const eventOf = (broker_ids: ReturnType<typeof idsIn>) =>
  z
    .object({ broker_ids, flag: Flag, source: SentSource, source_type: SentSource })
    .transform(({ broker_ids: { ids, unusable }, flag, source, source_type }, context) => {
      const given = known(source);
      const alias = known(source_type);
      if (given && alias && given !== alias) {
        const message = `source (${source}) and source_type (${source_type}) say different things`;
        context.addIssue({ code: 'custom', path: ['source'], message });
        return z.NEVER;
      }
      return { ids, unusable, flag, source: given ?? alias ?? sources.base };
    });

/**
 * `broker_event`, as upstream systems have always sent it: `{"broker_ids":"1,2","flag":2,"source":1}`.
 * Read as `{ids, flag, source}` with each id once and base as source 1. `source_type` is another name of `source`.
 */
export const BrokerEvent = eventOf(Ids).transform(({ ids, flag, source }) => ({
  ...{ ids, flag, source },
}));
export type BrokerEvent = z.infer<typeof BrokerEvent>;

/** The same on the queue, where an id 0 is left out (`unusable`) and does not keep the others from being applied. */
const QueuedEvent = eventOf(idsIn([noId]));

export const brokerEvents = queue('broker/apply-event', QueuedEvent);
