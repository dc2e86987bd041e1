/** Lives of orders by chance, in the order system's own MySQL, which may go away at any moment. */
import type { RowDataPacket } from 'mysql2';
import { pushFor } from '../../lib/order/pushes/new-push.ts';
import { orderStatuses, scenarios } from '../../lib/order/pushes/scenarios.ts';
import { jsonId } from '../../lib/platform/ids.ts';
import { connect, type Mysql } from '../../local/mysql.ts';
import type { Random } from '../simulation/random.ts';

type Connection = Awaited<ReturnType<typeof connect>>;

/** What must be shown of a change, unless it is withheld. */
interface Expected {
  readonly scenario: number;
  readonly content: string;
  readonly receiver: { readonly type: string; readonly id: number | string | null };
  readonly data: unknown;
}

/** An order as whoever changes it knows it; nobody else does. */
export interface Order {
  readonly id: number;
  readonly nurse: number | null;
  status: string;
  readonly expected: Expected[];
}

const changesPerTransactionMax = 5;
const rolledBackRate = 0.1;
const reconnectMs = 200;
const reconnectsMax = 600;
const statuses = Object.keys(orderStatuses);
const actors = ['patient', 'nurse', 'system', 'support'] as const;

/** Orders with a patient each, four in five with a nurse. */
export async function newOrders(server: Mysql, count: number, random: Random): Promise<Order[]> {
  const orders = Array.from({ length: count }, (_, index): Order => {
    const id = 1 + index;
    const nurse = random.happens(0.8) ? 20_000_000 + id : null;
    return { id, nurse, status: pick(statuses, random), expected: [] };
  });
  const admin = await connect(server);
  await admin.query(
    'insert into order_db.`order` (order_id, patient_id, nurse_id, status, changed_by) values ?',
    [orders.map(({ id, nurse, status }) => [id, patientOf(id), nurse, status, 'system'])],
  );
  await admin.end();
  return orders;
}

const patientOf = (order: number): number => 10_000_000 + order;

function pick<Item>(items: readonly Item[], random: Random): Item {
  const item = items[random.between(0, items.length - 1)];
  if (item === undefined) throw new Error('There is nothing to choose from.');
  return item;
}

/** Changes these orders, so many times, in transactions of one to five; returns how many were kept. */
export async function live(
  server: Mysql,
  name: string,
  orders: readonly Order[],
  random: Random,
  { changes, onChange }: { readonly changes: number; readonly onChange: (kept: number) => void },
): Promise<void> {
  let admin = await connectAgain(server);
  try {
    for (let done = 0, number = 0; done < changes; number++) {
      const plan = planOf(orders, random);
      const mark = `${name} ${number}`;
      const keeps = !random.happens(rolledBackRate);
      let kept: boolean;
      try {
        await carryOut(admin, plan, mark, keeps);
        kept = keeps;
      } catch {
        admin.destroy();
        admin = await connectAgain(server);
        kept = await wasKept(admin, mark);
      }
      if (!kept) continue;
      for (const step of plan) remember(step);
      done += plan.length;
      onChange(plan.length);
    }
  } finally {
    admin.destroy();
  }
}

interface Step {
  readonly order: Order;
  readonly before: string;
  readonly after: string;
  readonly by: string;
}

/** One to five changes, of the same order too; more of them such as push than chance would choose. */
function planOf(orders: readonly Order[], random: Random): Step[] {
  const now = new Map<Order, string>();
  return Array.from({ length: random.between(1, changesPerTransactionMax) }, () => {
    const order = pick(orders, random);
    const before = now.get(order) ?? order.status;
    const [after, by] = random.happens(0.6) ? pushing(before, random) : anything(random);
    now.set(order, after);
    return { order, before, after, by };
  });
}

const anything = (random: Random) => [pick(statuses, random), pick(actors, random)] as const;

function pushing(before: string, random: Random): readonly [string, string] {
  const known = scenarios
    .flatMap(({ changes }) => changes)
    .filter((change) => change.before.some((status) => status === before));
  if (!known.length) return anything(random);
  const { after, by } = pick(known, random);
  return [pick(after, random), pick(by, random)];
}

async function carryOut(
  admin: Connection,
  plan: readonly Step[],
  mark: string,
  keeps: boolean,
): Promise<void> {
  await admin.query('begin');
  for (const { order, after, by } of plan) {
    await admin.query(
      'update order_db.`order` set status = ?, changed_by = ?, updated_at = now(3) where order_id = ?',
      [after, by, order.id],
    );
    await admin.query(
      'replace into order_db.nurse_location (nurse_id, lat, lng) values (?, 31, 121)',
      [order.id],
    );
  }
  await admin.query('insert into order_db.order_log (order_id, what) values (0, ?)', [mark]);
  await admin.query(keeps ? 'commit' : 'rollback');
}

/** Whether a transaction whose answer was lost is there. */
async function wasKept(admin: Connection, mark: string): Promise<boolean> {
  const [rows] = await admin.query<RowDataPacket[]>(
    'select 1 from order_db.order_log where what = ?',
    [mark],
  );
  return rows.length > 0;
}

async function connectAgain(server: Mysql): Promise<Connection> {
  for (let attempt = 1; ; attempt++)
    try {
      const admin = await connect(server);
      admin.on('error', () => {}); // It is ended on purpose; the next statement says so.
      return admin;
    } catch (error) {
      if (attempt === reconnectsMax) throw error;
      await new Promise((done) => setTimeout(done, reconnectMs));
    }
}

function remember({ order, before, after, by }: Step): void {
  order.status = after;
  const push = pushFor({
    pushId: '',
    order_id: String(order.id),
    patient_id: String(patientOf(order.id)),
    nurse_id: order.nurse === null ? null : String(order.nurse),
    before,
    after,
    by,
    changedAt: new Date(0),
  });
  if (push === 'no scenario') return;
  const { receiver_type: type, receiver_id, scenario, content, data } = push;
  const receiver = { type, id: receiver_id == null ? null : jsonId(receiver_id) };
  const said = data == null ? undefined : JSON.parse(data);
  order.expected.push({ scenario, content, receiver, data: said });
}
