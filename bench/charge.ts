/** Measures charging and filtering beside the same statements and request. */
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Kysely, MysqlDialect } from 'kysely';
import { Pool as HttpPool } from 'undici';
import config from '../config/call.json' with { type: 'json' };
import { chargeCall } from '../lib/call/charging/charge-call.ts';
import { decideCall } from '../lib/call/filtering/filter-call.ts';
import { payments } from '../lib/call/partners/payment-centre.ts';
import { CallSettings } from '../lib/call/settings.ts';
import type { CallTables } from '../lib/call/tables.ts';
import { session } from '../lib/platform/mysql/mysql.ts';
import { renewedPool } from '../lib/platform/mysql/mysql-pool.ts';
import { connect } from '../local/mysql.ts';
import { Processes } from '../local/processes.ts';
import { table } from '../local/progress.ts';
import { paymentAccount } from '../local/secrets.ts';
import { users } from '../local/users.ts';
import { startDatabase } from '../test/simulation/database.ts';
import { asked, barePool, lent } from './bare.ts';
import { mediansInTurns } from './paired-timing.ts';

const rounds = 15;
const perRound = 40;
const ratioMin = 0.85;
const owner = '42';

interface Server {
  readonly host: string;
  readonly port: number;
}

/** A statement as the product sent it, with the values of the call it was recorded for. */
interface Statement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/**
 * A charge beside its bare self: the same statements, by the same driver over as many connections, and the one request,
 * signed as it must be. A decision of the filter in the same way.
 */
export async function benchCharge(dir: string): Promise<string> {
  const processes = new Processes(join(dir, 'charge'));
  const awake = setInterval(() => {}, 1000); // The end of a server alone keeps no process waiting.
  const centre = paymentCentre();
  try {
    const server = await startDatabase(processes, join(dir, 'charge-mysql'));
    const url = await centre.url;
    const rows = [
      await charged(server, url, 1),
      await charged(server, url, 10),
      await decided(server, 1),
      await decided(server, 10),
    ];
    const head = ['', 'ours', 'bare', 'of bare', 'ours a second', ''];
    return `Charging and filtering beside the same statements and the same request bare (medians of ${rounds})\n${table(head, rows)}`;
  } finally {
    await centre.end();
    await processes.endAll();
    clearInterval(awake);
  }
}

/** In a thread of its own: what it takes must not slow down who is measured. */
function paymentCentre() {
  const file = join(import.meta.dirname, '../local/simulators/payment.ts');
  const program = `import(${JSON.stringify(file)}).then(({ startPayment }) => startPayment())
    .then(({ url }) => require('node:worker_threads').parentPort.postMessage(url))`;
  const worker = new Worker(program, { eval: true });
  const url = new Promise<string>((known, failed) => {
    worker.once('message', known).once('error', failed);
  });
  return { url, end: () => worker.terminate() };
}

function oursOn({ host, port }: Server) {
  const recorded: Statement[] = [];
  const { username, password } = users.signalbox;
  const credentials = { host, port, username, password, ssl: false };
  const mysql = new Kysely<CallTables>({
    dialect: new MysqlDialect({
      pool: renewedPool(async () => credentials),
      onCreateConnection: async (connection) => {
        await connection.executeQuery({ sql: session, parameters: [] } as never);
      },
    }),
    log: ({ query: { sql, parameters } }) => void recorded.push({ sql, parameters }),
  });
  return { mysql, recorded };
}

/** Calls that nobody knows of yet: their ids, one after the other. */
async function newCalls(server: Server, rule: 1 | null): Promise<() => string> {
  const admin = await connect(server);
  const count = 2 * (rounds + 1) * perRound + 1;
  await admin.query('delete from user_prop_db.sublessor_call_log_201409');
  await admin.query('delete from user_prop_db.sublessor_call_payment_log_201409');
  await admin.query(
    `set session cte_max_recursion_depth = 100000;
     insert into user_prop_db.sublessor_call_log_201409
      (call_id, user_id, caller, callee, status, started_at, duration, filter_rule, caller_digits)
     with recursive n as (select 1 id union all select id + 1 from n where id < ${count})
     select concat('bench-', id), ${owner}, id, '400', 1, now(), 61, ${rule ?? 'null'}, id from n`,
  );
  const [rows] = await admin.query(
    'select min(id) first_id from user_prop_db.sublessor_call_log_201409',
  );
  await admin.end();
  let next = Number((rows as { first_id: string }[])[0]?.first_id);
  return () => String(next++);
}

const settings = async () =>
  CallSettings.parse({ ...config, chargesPerMinuteMax: 1e6, chargesPerMinutePerOwnerMax: 1e6 });

async function charged(server: Server, url: string, atOnce: number): Promise<(string | number)[]> {
  const nextId = await newCalls(server, 1);
  await fetch(`${url}/__accounts`, {
    method: 'POST',
    body: JSON.stringify({ user_id: Number(owner), balance: 1e12 }),
  });
  const { mysql, recorded } = oursOn(server);
  const bare = barePool(server);
  const http = new HttpPool(url, { connections: 10 });
  const document = { ...(await settings()), payment_base_api_url: url };
  const deps = {
    mysql,
    settings: async () => document,
    payments: payments(
      async () => document,
      async () => paymentAccount,
    ),
    deliver: async () => [],
    firstSwitchOff: async () => undefined,
    now: () => new Date(),
  };
  const one = async () => {
    const { outcome } = await chargeCall(deps, { callLogId: nextId(), userId: owner });
    if (outcome !== 'charged') throw new Error(`A charge was ${outcome}.`);
  };
  const sample = nextId();
  await chargeCall(deps, { callLogId: sample, userId: owner });
  const [insert, update] = recorded.splice(0);
  if (!insert || !update) throw new Error('A charge is two statements.');
  const plain = async () => {
    const made = await asked(bare, insert.sql, withValues(insert, new Map([[sample, nextId()]])));
    const id = String((made as { insertId: number }).insertId);
    const balance = await deducted(http, id);
    const [id0] = update.parameters.filter((value) => /^82\d{10}$/.test(String(value)));
    const values = withValues(update, new Map([[String(id0), id]]));
    const balanceAt = update.parameters.findIndex((value) => typeof value === 'number');
    values[balanceAt] = balance;
    await asked(bare, update.sql, values);
  };
  const row = await inTurns(`charge, ${atOnce} at once`, atOnce, one, plain);
  await mysql.destroy();
  bare.end(() => {});
  await http.close();
  return row;
}

async function deducted(http: HttpPool, trade_id: string): Promise<number> {
  const { app, key } = paymentAccount;
  const body = {
    amount: 4000,
    app,
    reason: 'sublessor 400 call',
    trade_id,
    user_id: Number(owner),
  };
  const sign = createHmac('sha256', key).update(JSON.stringify(body)).digest('hex');
  const { body: answer } = await http.request({
    method: 'POST',
    path: '/trade/deduct',
    body: JSON.stringify({ ...body, sign }),
    headers: { 'content-type': 'application/json' },
  });
  const { code, balance } = (await answer.json()) as { code: number; balance: number };
  if (code !== 0) throw new Error(`The bare charge was answered ${code}.`);
  return balance;
}

/** The recorded values, those of the call it was recorded for replaced, also within texts. */
function withValues({ parameters }: Statement, values: ReadonlyMap<string, string>): unknown[] {
  return parameters.map((value) => {
    for (const [old, fresh] of values) {
      if (value === old) return fresh;
      if (typeof value === 'string' && value.startsWith('{'))
        return value.replaceAll(`"${old}"`, `"${fresh}"`);
    }
    return value;
  });
}

async function decided(server: Server, atOnce: number): Promise<(string | number)[]> {
  const nextId = await newCalls(server, null);
  const { mysql, recorded } = oursOn(server);
  const bare = barePool(server);
  const document = await settings();
  const deps = { mysql, settings: async () => document, deliver: async () => [] };
  const sample = nextId();
  await decideCall(deps, sample);
  const statements = recorded.filter(({ sql }) => !/^(begin|commit)/.test(sql));
  const one = async () => {
    const { outcome } = await decideCall(deps, nextId());
    if (outcome !== 'valid') throw new Error(`A call was ${outcome}.`);
  };
  const plain = async () => {
    const values = new Map([[sample, nextId()]]);
    const connection = await lent(bare);
    await asked(connection, 'begin', []);
    for (const statement of statements)
      await asked(connection, statement.sql, withValues(statement, values));
    await asked(connection, 'commit', []);
    connection.release();
  };
  const title = `decision of the filter, ${atOnce} at once`;
  const row = (await inTurns(title, atOnce, one, plain)).slice(0, -1); // Without a goal.
  await mysql.destroy();
  bare.end(() => {});
  return [...row, ''];
}

async function inTurns(
  title: string,
  atOnce: number,
  ours: () => Promise<void>,
  bare: () => Promise<void>,
): Promise<(string | number)[]> {
  const many = (work: () => Promise<void>) => async () => {
    const turns = Array.from({ length: perRound }, (_, turn) => turn).values();
    const lane = async () => {
      for (const _ of turns) await work();
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  };
  const times = await mediansInTurns(rounds, many(ours), many(bare));
  const ratio = times.peer / times.ours;
  const ms = (time: number) => `${(time / perRound).toFixed(2)} ms`;
  const perSecond = Math.round((1000 * perRound) / times.ours);
  return [
    title,
    ms(times.ours),
    ms(times.peer),
    ratio.toFixed(2),
    perSecond,
    ratio >= ratioMin ? '✓' : '✗',
  ];
}
