import type { Answer, Exchange, Request } from '../../lib/platform/partners/http-exchange.ts';
import type { Partner } from '../../local/simulators/controls.ts';
import { exchangeWith } from './world.ts';

/** Returns an HTTP exchange with a partner's simulator in this process; each request is a boundary. */
export const exchangeOf = (partner: Partner): Exchange =>
  exchangeWith(async ({ method, url, body }: Request): Promise<Answer> => {
    const text = Buffer.from(body ?? '').toString();
    const { pathname: path, searchParams: query } = url;
    const call = {
      method,
      path,
      query,
      headers: {},
      text,
      body: text ? JSON.parse(text) : undefined,
    };
    const reply = (await partner.handle(call)) ?? { status: 404, body: { error: 'No such path.' } };
    return { status: reply.status ?? 200, body: Buffer.from(JSON.stringify(reply.body)) };
  });
