/** Limits how long a statement may wait for its answer, and ends connections with their invocation. */
import type { MysqlPool, MysqlPoolConnection } from 'kysely';
import { isConnectionClosed, Unavailable } from '../errors.ts';
import { currentInvocation, outOfTime } from '../lambda/invocation.ts';

interface Bounds {
  /** What the server is called in errors. */
  readonly name: string;
  /** A statement that has no answer after this much time closes its connection. */
  readonly answerMsMax: number;
  /** The first statement of each connection. */
  readonly session?: string;
}

/**
 * A pool whose connections end when they are of no more use, so that the next attempt opens another: when the server
 * has been silent for too long, when it says that it can do nothing on this connection (docs/decisions/0040), and when
 * the invocation that has the connection on loan is over. What it asks of TCP is nothing: a network that swallows
 * packets looks for a quarter of an hour like a server that thinks.
 */
export function bounded(pool: MysqlPool, bounds: Bounds): MysqlPool {
  const wrapped = new WeakMap<MysqlPoolConnection, Bounded>(); // Kysely knows one by its identity.
  return {
    end: (ended) => pool.end(ended),
    getConnection: (got) => {
      const invocation = currentInvocation();
      const refused = () => got(outOfTime(), undefined as never);
      if (invocation?.over) return refused();
      pool.getConnection((error, raw) => {
        if (error) return got(error, raw);
        const known = wrapped.get(raw);
        const { connection, lend } = known ?? boundedOn(raw, bounds);
        if (invocation?.over) {
          connection.release();
          return refused();
        }
        lend(invocation);
        if (known) return got(undefined, connection);
        wrapped.set(raw, { connection, lend });
        if (!bounds.session) return got(undefined, connection);
        connection.query(bounds.session, [], (failed) => {
          if (!failed) return got(undefined, connection);
          connection.destroy();
          got(failed, undefined as never);
        });
      });
    },
  };
}

type Invocation = ReturnType<typeof currentInvocation>;
type Answered = Parameters<MysqlPoolConnection['query']>[2];

interface Bounded {
  readonly connection: MysqlPoolConnection;
  /** Until its release the connection belongs to this invocation. */
  readonly lend: (invocation: Invocation) => void;
}

/** What a rollback answers on a connection that is closed: the server has rolled back by itself. */
const nothing = { affectedRows: 0, changedRows: 0, insertId: 0 };

function boundedOn(raw: MysqlPoolConnection, { name, answerMsMax }: Bounds): Bounded {
  let closed = false;
  let lentTo: Invocation;
  /** Ends the statement that has no answer yet. */
  let giveUp: ((why: Error) => void) | undefined;

  const close = () => {
    closed = true;
    raw.destroy();
  };
  const end = () => {
    close();
    giveUp?.(outOfTime());
  };
  const giveBack = () => {
    lentTo?.atEnd.delete(end);
    lentTo = undefined;
  };

  const query = (sql: string, parameters: unknown[], answered?: Answered): unknown => {
    if (!answered) return raw.query(sql, parameters);
    if (closed && sql === 'rollback') return answered(undefined, nothing);
    if (closed && lentTo?.over) return answered(outOfTime(), []);
    let waits = true;
    const settle: typeof answered = (error, result) => {
      if (!waits) return;
      waits = false;
      giveUp = undefined;
      clearTimeout(timer);
      if (error && !closed && isConnectionClosed(error)) close();
      answered(error, result);
    };
    giveUp = (why) => settle(why, []);
    const timer = setTimeout(() => {
      close();
      const seconds = answerMsMax / 1000;
      settle(new Unavailable(`${name} has not answered for ${seconds} s.`), []);
    }, answerMsMax);
    return raw.query(sql, parameters, settle);
  };

  const connection: MysqlPoolConnection = {
    config: raw.config,
    threadId: raw.threadId,
    connect: (...given) => raw.connect(...given),
    destroy: () => {
      giveBack();
      close();
    },
    release: () => {
      giveBack();
      raw.release();
    },
    query: query as MysqlPoolConnection['query'],
  };
  const lend = (invocation: Invocation) => {
    lentTo = invocation;
    invocation?.atEnd.add(end);
  };
  return { connection, lend };
}
