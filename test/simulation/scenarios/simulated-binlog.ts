import type { LogState } from '../../../lib/order/binlog/binlog-position.ts';
import type { Source } from '../../../lib/order/binlog/binlog-source.ts';
import type { LogEvent } from '../../../lib/order/decoding/log-events.ts';
import {
  beginning,
  recordedOf,
  replicaAfter,
  sentBeyond,
  sentFrom,
  source,
  type Writer,
  type Written,
} from '../../support/log-events.ts';
import type { Stage } from '../run-scenario.ts';
import { cross, lostConnection } from '../world.ts';

export interface SimulatedServer {
  readonly source: Source;
  /** All transactions, oldest first. */
  readonly written: readonly Written[];
  readonly write: (...transactions: readonly Written[]) => void;
  /** Fails over to another server with other files; connections to this one break. */
  readonly failOver: () => void;
}

/** The network delay, and the extra wait for a server without news. */
const wayMs = 20;
const quietTimes = 4;

/** The binlog of the order database, in memory; each request is a boundary. */
export function simulatedServer({ faults: { exact, random } }: Stage): SimulatedServer {
  const written: Written[] = [];
  let writer: Writer = source;
  const recorded = () => recordedOf(written, writer);
  const asked = <Answer>(label: string, answer: () => Answer): Promise<Answer> =>
    cross('http', label, { run: async () => answer(), fail: async () => lostConnection() });

  function end(): LogState {
    const last = recorded().at(-1);
    const { file, position, gtidSet } = beginning(writer);
    const gtids = { executed: gtidSet ?? '', purged: '' };
    const at = last && 'position' in last ? last : { file, position };
    return { uuid: writer.uuid, file: at.file, position: at.position, gtids };
  }

  return {
    written,
    write: (...transactions) => void written.push(...transactions),
    failOver: () => {
      writer = replicaAfter(written);
    },
    source: {
      find: (checkpoint) =>
        asked('find the place', () => {
          const from = checkpoint ?? beginning(writer);
          if (from.serverUuid === writer.uuid) return { from, by: 'position' };
          const there = { serverUuid: writer.uuid, file: '', position: 4 };
          return { from: { ...from, ...there }, by: 'gtids' };
        }),
      open: async ({ from, by }) => {
        const of = writer;
        let sent = 0;
        const all = (): LogEvent[] =>
          by === 'position'
            ? sentFrom(recorded(), from)
            : sentBeyond(recorded(), from.gtidSet ?? '');
        const take = async (waitMs: number) => {
          const events = await asked('take events', () => {
            if (of !== writer) throw lostConnection();
            const most = exact ? 4 : random.between(1, 6);
            const taken = all().slice(sent, sent + most);
            sent += taken.length;
            return taken;
          });
          await new Promise<void>((done) =>
            setTimeout(done, events.length ? wayMs : waitMs * quietTimes),
          );
          return events;
        };
        return { take, close: async () => {} };
      },
      end: () => asked('ask for the end', end),
    },
  };
}
