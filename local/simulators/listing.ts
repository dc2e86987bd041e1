/** Simulates the listing service. */
import * as z from 'zod';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

const SwitchRequest = z.strictObject({ request_id: z.string().min(1), reason: z.string() });

interface User {
  online: boolean;
  /** All completed switches, in order. */
  readonly history: { readonly request_id: string; readonly to: string; readonly reason: string }[];
}

/** The number of listings of every user. */
const listingsPerUser = 3;
const switches = /^\/users\/(\d+)\/(offline|online)$/;

/** Makes the service that shows the flats of all owners and takes them offline. */
export function listing(): Partner {
  const users = new Map<string, User>();
  const answers = new Map<string, { readonly code: 0; readonly listings: number }>();
  const userOf = (id: string): User => {
    const user = users.get(id) ?? { online: true, history: [] };
    users.set(id, user);
    return user;
  };
  return {
    state: () => ({ users: Object.fromEntries(users) }),
    reset: () => {
      users.clear();
      answers.clear();
    },
    refuse: () => ({ body: { code: 5000 } }),
    handle: ({ method, path, body }) => {
      const [, id, to] = switches.exec(path) ?? [];
      if (method !== 'POST' || !id || !to) return undefined;
      const { request_id, reason } = SwitchRequest.parse(body);
      const before = answers.get(request_id);
      if (before) return { body: before };
      const user = userOf(id);
      user.online = to === 'online';
      user.history.push({ request_id, to, reason });
      const answer = { code: 0, listings: listingsPerUser } as const;
      answers.set(request_id, answer);
      return { body: answer };
    },
  };
}

export const startListing = (port = 0): Promise<Simulator> => startSimulator(listing, port);
