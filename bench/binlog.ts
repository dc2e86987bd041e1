/** Measures decoding of the binlog beside a reader in Go. */
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import ZongJi from '@vlasky/zongji';
import { isAtOrAfter } from '../lib/order/binlog/binlog-position.ts';
import type { Checkpoint } from '../lib/order/checkpoints.ts';
import { orderTable } from '../lib/order/decoding/indirect-writes.ts';
import { openBinlog } from '../lib/order/decoding/stream.ts';
import { transactionAssembler } from '../lib/order/decoding/transactions.ts';
import { connect, startMysql } from '../local/mysql.ts';
import { freePort } from '../local/ports.ts';
import { Processes } from '../local/processes.ts';
import { table } from '../local/progress.ts';
import { createUpstream } from '../local/upstream.ts';
import { users } from '../local/users.ts';
import { createOurs } from '../test/support/own-tables.ts';
import { benchDelay } from './delay.ts';
import { median } from './paired-timing.ts';

type Admin = Awaited<ReturnType<typeof connect>>;
type Server = { readonly host: string; readonly port: number };

const rounds = 7;
const orders = 2_000;
const busyRows = 98_000;
const { username: user, password } = users.admin;

interface Place {
  readonly file: string;
  readonly position: number;
}
interface Stretch {
  readonly title: string;
  readonly from: Place;
  readonly to: Place;
  /** Row images of the order table, two to an update. */
  readonly images: number;
  readonly goals: Readonly<Partial<Record<Peer, number>>>;
}

type Peer = 'go-mysql' | 'go-mysql, filtered' | 'zongji';

/** Reading the binlog beside go-mysql and plain zongji, and how soon a change is a push. */
export async function benchBinlog(dir: string): Promise<string> {
  const processes = new Processes(join(dir, 'binlog'));
  const awake = setInterval(() => {}, 1000); // The end of a server alone keeps no process waiting.
  try {
    const server = await startMysql(
      processes,
      join(dir, 'binlog/mysql'),
      await freePort('MySQL', undefined),
    );
    await createUpstream(server);
    await createOurs(server);
    const admin = await connect(server);
    const stretches = await written(admin);
    const peer = goPeer(dir);
    const lines: string[] = [];
    for (const stretch of stretches) lines.push(...(await compared(server, stretch, peer)));
    await admin.end();
    const head = ['reading', 'ours', 'peer', 'ratio', 'goal', ''];
    const rows = lines.map((line) => line.split('|'));
    const note = peer ? '' : '\nGo is missing: nothing was compared with go-mysql.';
    const read = `Reading the binlog (medians of ${rounds}, in turns)\n${table(head, rows)}${note}`;
    return `${read}\n\n${await benchDelay(server)}`;
  } finally {
    await processes.endAll();
    clearInterval(awake);
  }
}

/** 200,000 row changes of which one in fifty is an order's; then order changes alone. */
async function written(admin: Admin): Promise<Stretch[]> {
  await admin.query(`set session cte_max_recursion_depth = 200000;
    insert into order_db.\`order\` (order_id, patient_id, nurse_id, status, changed_by, address, remark)
      with recursive n as (select 1 id union all select id + 1 from n where id < ${orders})
      select id, id, id, 'PAYING', 'patient', concat('地址', id), repeat('备注', 20) from n;
    insert into order_db.order_payment (order_id, amount_fen, state, raw, paid_at)
      with recursive n as (select 1 id union all select id + 1 from n where id < ${busyRows})
      select id, id, 'open', repeat('x', 60), now(3) from n`);
  const turn = "status = if(status = 'PAYING', 'PENDING_ACCEPT', 'PAYING')";
  const begun = await end(admin);
  for (let n = 0; n < 4_000; n++) {
    const first = ((n * 49) % busyRows) + 1;
    await admin.query(`begin;
      update order_db.order_payment set amount_fen = amount_fen + 1 where payment_id between ${first} and ${first + 48};
      update order_db.\`order\` set ${turn} where order_id = ${(n % orders) + 1}; commit`);
  }
  const between = await end(admin);
  for (let n = 0; n < 25; n++) await admin.query(`update order_db.\`order\` set ${turn}`);
  const last = await end(admin);
  return [
    {
      title: 'one order change in fifty',
      from: begun,
      to: between,
      images: 8_000,
      goals: { 'go-mysql': 2, 'go-mysql, filtered': 0.5 },
    },
    {
      title: 'order changes alone',
      from: between,
      to: last,
      images: 2 * 25 * orders,
      goals: {},
    },
  ];
}

async function end(admin: Admin): Promise<Place> {
  const [rows] = await admin.query('show master status');
  const [{ File, Position } = { File: '', Position: 0 }] = rows as {
    File: string;
    Position: number | string;
  }[];
  return { file: File, position: Number(Position) };
}

/** One measurement: milliseconds. Throws unless all row images were seen. */
type Measured = (stretch: Stretch) => Promise<number>;

async function compared(
  server: Server,
  stretch: Stretch,
  go: ((server: Server, mode: 'all' | 'filtered') => Measured) | undefined,
): Promise<string[]> {
  const all = new Map<Peer | 'ours', Measured>([
    ['ours', ours(server)],
    ['zongji', plain(server)],
  ]);
  if (go) all.set('go-mysql', go(server, 'all')).set('go-mysql, filtered', go(server, 'filtered'));
  const times = new Map([...all.keys()].map((name): [string, number[]] => [name, []]));
  for (let round = 0; round <= rounds; round++)
    for (const [name, measure] of round % 2 ? [...all].toReversed() : all) {
      const ms = await measure(stretch);
      if (round) times.get(name)?.push(ms); // The first warms up.
    }
  const own = median(times.get('ours') ?? []);
  return [...all.keys()].flatMap((name) => {
    if (name === 'ours') return [];
    const peer = median(times.get(name) ?? []);
    const goal = stretch.goals[name];
    const met = goal === undefined ? '' : peer / own >= goal ? '✓' : '✗';
    const title = `${stretch.title}: ${name}`;
    return [
      [title, `${own.toFixed(0)} ms`, `${peer.toFixed(0)} ms`, (peer / own).toFixed(2)].join('|') +
        `|${goal === undefined ? '–' : `≥ ${goal}`}|${met}`,
    ];
  });
}

const ours =
  (server: Server): Measured =>
  async ({ from, to, images }) => {
    const checkpoint: Checkpoint = { serverUuid: '', gtidSet: '', ...from, open: null, atMs: null };
    const began = performance.now();
    const credentials = { ...server, username: user, password, ssl: false };
    const stream = openBinlog(credentials, 778, checkpoint, 'position');
    const reading = transactionAssembler(checkpoint);
    let seen = 0;
    while (!isAtOrAfter(reading.place(), to)) {
      for (const event of await stream.take(1_000))
        if (!isAtOrAfter(reading.place(), to)) reading.take(event);
      for (const { before, after } of reading.whole()?.changes ?? [])
        seen += (before ? 1 : 0) + (after ? 1 : 0);
    }
    const ms = performance.now() - began;
    await stream.close();
    if (seen !== images) throw new Error(`We read ${seen} images of ${images}.`);
    return ms;
  };

/** Decodes all tables, as zongji does when it is told nothing. */
const plain =
  ({ host, port }: Server): Measured =>
  async ({ from, to, images }) => {
    const zongji = new ZongJi({ host, port, user, password });
    let seen = 0;
    const began = performance.now();
    await new Promise<void>((done, failed) => {
      zongji.on('error', failed);
      zongji.on('binlog', (event) => {
        const { tableMap, tableId, rows } = event as never as {
          tableMap: Record<number, { tableName: string }>;
          tableId: number;
          rows: unknown[];
        };
        if (
          event.getTypeName() === 'UpdateRows' &&
          tableMap[tableId]?.tableName === orderTable.table
        )
          seen += 2 * rows.length;
        if (event.getTypeName() !== 'Xid' || event.nextPosition < to.position) return;
        zongji.removeAllListeners('binlog');
        done();
      });
      zongji.start({ serverId: 779, filename: from.file, position: from.position });
    });
    const ms = performance.now() - began;
    await new Promise<void>((stopped) => {
      zongji.once('stopped', stopped);
      zongji.stop();
    });
    if (seen !== images) throw new Error(`zongji read ${seen} images of ${images}.`);
    return ms;
  };

/** Builds go-mysql's program; undefined where there is no Go. Each run is a process that times itself. */
function goPeer(dir: string) {
  if (spawnSync('go', ['version']).status !== 0) return undefined;
  const folder = join(dir, 'go-mysql');
  cpSync(join(import.meta.dirname, 'go-mysql'), folder, { recursive: true });
  const program = join(folder, 'peer');
  const built = spawnSync('go', ['build', '-o', program, '.'], { cwd: folder, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`go-mysql was not built: ${built.stderr}`);
  return ({ port }: Server, mode: 'all' | 'filtered'): Measured =>
    async ({ from, to, images }) => {
      const place = [from.file, from.position, to.file, to.position].map(String);
      const args = [
        String(port),
        ...place,
        orderTable.schema,
        orderTable.table,
        mode,
        user,
        password,
      ];
      const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
      const [seen, ms] = stdout.trim().split(' ').map(Number);
      if (seen !== images) throw new Error(`go-mysql read ${seen} images of ${images}. ${stderr}`);
      return ms ?? Number.NaN;
    };
}
