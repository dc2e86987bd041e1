/** Simulates Singer, the push service. */
import * as z from 'zod';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

const Id = z.union([z.int().positive(), z.string().regex(/^\d+$/)]);

const Push = z.strictObject({
  push_id: z.string().min(1).max(100),
  channel: z.enum(['wechat', 'app']),
  receiver: z.strictObject({ type: z.enum(['patient', 'nurse', 'nurse_group']), id: Id }),
  content: z.string().min(1),
  order_id: Id,
  data: z.record(z.string(), z.unknown()).optional(),
});
type Push = z.infer<typeof Push>;

const rememberedMs = 24 * 3_600_000;
/** The maximum number of shown pushes; the oldest are removed first. */
const shownMax = 1_000_000;

export const startSinger = (port = 0): Promise<Simulator> =>
  startSimulator(singerPartner(Date.now), port);

/**
 * Makes the push service. Its own controls: `POST /__unknown` `{"type", "id"}` makes a receiver unknown, and `POST
 * /__known` reverts that.
 */
export function singerPartner(now: () => number): Partner {
  const pushes: Push[] = [];
  /**
   * Pushes by id. A push that is repeated after a day is no longer recognised and is shown again: the receiver gets it
   * twice.
   */
  const sent = new Map<string, { readonly message_id: string; readonly atMs: number }>();
  const unknown = new Set<string>();
  const keyOf = ({ type, id }: Push['receiver']) => `${type} ${id}`;
  let messages = 0;

  const push = (given: Push) => {
    if (unknown.has(keyOf(given.receiver))) return { code: 4101 };
    const before = sent.get(given.push_id);
    if (before && now() - before.atMs < rememberedMs)
      return { code: 0, message_id: before.message_id };
    messages += 1;
    const message_id = `singer-${messages}`;
    sent.delete(given.push_id); // Keeps the map ordered by time.
    sent.set(given.push_id, { message_id, atMs: now() });
    pushes.push(given);
    if (pushes.length > shownMax) pushes.shift();
    return { code: 0, message_id };
  };
  const receiver = (body: unknown) => keyOf(Push.shape.receiver.parse(body));

  return {
    handle: ({ method, path, body }) => {
      if (method !== 'POST' || path !== '/push') return undefined;
      const given = Push.safeParse(body);
      if (given.success) return { body: push(given.data) };
      return { status: 400, body: { code: 4000, message: z.prettifyError(given.error) } };
    },
    refuse: () => ({ body: { code: 5000 } }),
    state: () => ({ pushes }),
    reset: () => {
      pushes.length = 0;
      sent.clear();
      unknown.clear();
    },
    controls: {
      '/__unknown': (body) => void unknown.add(receiver(body)),
      '/__known': (body) => void unknown.delete(receiver(body)),
    },
  };
}
