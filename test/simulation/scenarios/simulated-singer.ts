import { type Exchange, NoResponse } from '../../../lib/platform/partners/http-exchange.ts';
import { singerPartner } from '../../../local/simulators/singer.ts';
import type { Stage } from '../run-scenario.ts';
import { exchangeWith, startMs } from '../world.ts';

const hourMs = 3_600_000;
const losesForMs = 25 * hourMs;

export type SimulatedSinger = ReturnType<typeof singerOf>;

interface Shown {
  readonly push_id: string;
  readonly atMs: number;
}

/**
 * The push service on the simulated clock. In a swarm it may answer "later", not know a receiver, or lose every answer
 * of one order for over a day.
 */
export function singerOf({ world, faults: { random, exact, untilMs } }: Stage, orders: number) {
  const partner = singerPartner(() => world.nowMs);
  const shown: Shown[] = [];
  const asked = new Set<string>();
  const laterRate = !exact && random.happens(0.5) ? random.next() * 0.5 : 0;
  const losesForLong = !exact && random.happens(0.4);
  const loserOrder = random.between(1, orders);
  const unknown = !exact && random.happens(0.5) ? `${random.between(1, orders)}2` : undefined;
  if (unknown) partner.controls?.['/__unknown']?.({ type: 'nurse', id: Number(unknown) });

  const exchange: Exchange = exchangeWith(async ({ body: sent, url }) => {
    const text = String(sent);
    const body: { push_id: string; order_id: number } = JSON.parse(text);
    asked.add(body.push_id);
    const call = { method: 'POST', path: url.pathname, query: url.searchParams, headers: {} };
    const later = world.nowMs < untilMs && random.happens(laterRate);
    const reply = later
      ? partner.refuse({ ...call, text, body })
      : await partner.handle({ ...call, text, body });
    const { pushes } = partner.state() as { pushes: { push_id: string }[] };
    for (const { push_id } of pushes.slice(shown.length))
      shown.push({ push_id, atMs: world.nowMs });
    const loses = losesForLong && body.order_id === loserOrder;
    if (loses && world.nowMs < startMs + losesForMs)
      throw new NoResponse('the answer is lost', { sent: true });
    return { status: reply?.status ?? 200, body: Buffer.from(JSON.stringify(reply?.body)) };
  });

  return {
    exchange,
    losesForLong,
    /** All pushes that it has shown, in order. */
    shown: shown as readonly Shown[],
    wasAsked: (push_id: string): boolean => asked.has(push_id),
    knows: (receiver: string): boolean => receiver !== `nurse ${unknown}`,
    losesAll: (order: number): boolean => losesForLong && order === loserOrder,
  };
}
