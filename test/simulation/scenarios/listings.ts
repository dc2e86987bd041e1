import type { AccountingTables } from '../../../lib/call/accounting-tables.ts';
import { listingService } from '../../../lib/call/listings/listing-service.ts';
import { switchListings } from '../../../lib/call/listings/switch-listings.ts';
import { listingSwitches } from '../../../lib/call/queues.ts';
import { callSwitches } from '../../../lib/call/switches.ts';
import { bus } from '../../../lib/platform/messaging/bus.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { deliverBy } from '../../../lib/platform/messaging/outbox.ts';
import { wallTime } from '../../../lib/platform/time.ts';
import { listing } from '../../../local/simulators/listing.ts';
import { mysqlOf } from '../database.ts';
import { exchangeOf } from '../partners.ts';
import type { Act, Scenario, Stage } from '../run-scenario.ts';
import { startMs } from '../world.ts';
import { deliverer } from './deliverer.ts';
import { switching, switchTables } from './switching.ts';

const log = 'user_prop_db.sublessor_call_payment_log_201409';
const owners = ['7001', '7002'];
const swarmMessages = 8;
const swarmSeconds = 600;
const settings = { listing_api_url: 'https://listing.simulated' };

interface Told {
  readonly userId: string;
  readonly atSeconds: number;
  /** Of a charge; a top-up has none. */
  readonly paymentId?: string;
}

/** Owners run out of money and top up; the messages come in any order, and the listings must end up right. */
export const listings: Scenario = {
  name: 'listings',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', ...switchTables, log],
    ...['user_prop_db.sublessor_listings', 'user_prop_db.sublessor_top_up_ahead'],
  ],
  begin: (stage) => {
    const { databases, world, queues } = stage;
    const partner = listing();
    const kill = switching(stage, callSwitches, ['partner/listing'], swarmSeconds);
    const exchange = kill.watched(exchangeOf(partner), 'partner/listing');
    const told = plan(stage);
    const queue = queues.open(listingSwitches);
    const dead = queues.dead(listingSwitches);
    return {
      consumers: [
        {
          queue: listingSwitches,
          timeoutSeconds: 30,
          handlerOf: (worker) => {
            const mysql = mysqlOf<AccountingTables>(databases, world, worker);
            const deps = {
              mysql,
              listings: listingService(async () => settings, exchange),
              deliver: deliverBy(bus()),
              firstSwitchOff: kill.off(worker),
              clock: () => new Date(world.nowMs),
            };
            return consume(listingSwitches, (one) => switchListings(deps, one), {
              mysql: mysql as never,
            });
          },
        },
      ],
      schedules: [deliverer(stage)],
      script: [
        ...told.map((one, index) => tell(stage, one, index, (body) => queues.put(queue, body))),
        ...kill.acts,
      ],
      safety: async () =>
        kill.broken() ??
        (dead.sent[0] && `Dead-lettered: ${dead.sent[0].body} because ${dead.sent[0].reason}`),
      unsettled: async () =>
        wrongAtService(partner.state(), told) ?? (await unannounced(stage, partner.state())),
    };
  },
};

const firstId = 820_000_000_001n;

function plan({ faults: { exact, random } }: Stage): Told[] {
  if (exact)
    return [
      { userId: '7001', atSeconds: 0, paymentId: String(firstId) },
      { userId: '7001', atSeconds: 60 },
    ];
  // Sometimes a top-up and a charge have the same second.
  const seconds = random.happens(0.3) ? 3 : swarmSeconds;
  return Array.from({ length: swarmMessages }, (_, index) => ({
    userId: owners[random.between(0, 1)] ?? '',
    atSeconds: random.between(0, seconds),
    ...(random.happens(0.6) && { paymentId: String(firstId + BigInt(index)) }),
  }));
}

/** Sends the message a while after its event, so that messages may arrive out of order. */
function tell(
  { databases: { admin }, faults: { exact, random } }: Stage,
  { userId, atSeconds, paymentId }: Told,
  index: number,
  put: (body: string) => void,
): Act {
  const at = wallTime(new Date(startMs + atSeconds * 1000));
  return {
    atSeconds: atSeconds + (exact ? index * 5 : random.between(0, 300)),
    act: async () => {
      if (!paymentId)
        return put(JSON.stringify({ user_id: Number(userId), topped_up_at: at, balance: 1 }));
      await admin.query(
        `insert into ${log} (id, call_log_id, user_id, amount_fen, state, sent_at)
         values (?, ?, ?, 4000, 'refused', ?)`,
        [paymentId, paymentId, userId, at],
      );
      put(JSON.stringify({ userId, paymentId, why: 'not enough money' }));
    },
  };
}

/** Compares the listings at the service with the latest event of each owner. */
function wrongAtService(state: unknown, told: readonly Told[]): string | undefined {
  const { users } = state as { users: Record<string, { online: boolean }> };
  for (const userId of owners) {
    const own = told.filter((one) => one.userId === userId);
    const last = (ones: readonly Told[]) => Math.max(-1, ...ones.map(({ atSeconds }) => atSeconds));
    const broke = last(own.filter(({ paymentId }) => paymentId));
    const online = broke < 0 || last(own.filter(({ paymentId }) => !paymentId)) >= broke;
    const shown = users[userId]?.online ?? true;
    if (shown !== online) return `Owner ${userId} is ${shown ? 'online' : 'offline'}.`;
  }
  return undefined;
}

interface Row {
  readonly user_id: string;
  readonly state: string;
}

/** Checks that our rows equal the service, and that each switched owner has an event. */
async function unannounced(
  { databases: { admin }, queues: { events } }: Stage,
  state: unknown,
): Promise<string | undefined> {
  const { users } = state as { users: Record<string, { online: boolean }> };
  const [rows] = await admin.query('select user_id, state from user_prop_db.sublessor_listings');
  for (const { user_id, state: ours } of rows as Row[])
    if ((users[user_id]?.online ?? true) !== (ours === 'online'))
      return `Owner ${user_id} is not ${ours}, as our row says.`;
  const heard = events.map(({ body }) => JSON.parse(body).userId);
  const gone = Object.keys(users).find((id) => !users[id]?.online && !heard.includes(id));
  return gone && `Nobody heard that owner ${gone} went offline.`;
}
