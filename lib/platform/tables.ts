/** The columns of the platform's own tables, for Kysely. */
import type { ColumnType, Generated } from 'kysely';

/** The tables of schema `signalbox`, which belong to the platform; migrations/ creates and explains them. */
export interface PlatformTables {
  'signalbox.migration': { name: string; hash: string };
  'signalbox.scan_cursor': {
    name: string;
    complete_to: string;
    bound: string | null;
    at_time: string;
    at_id: string;
    version: number;
  };
  'signalbox.scan_seen': { name: string; id: string; stamp: string; hash: Buffer };
  'signalbox.outbox': {
    id: Generated<string>;
    destination: string;
    kind: ColumnType<'invalidation' | 'message' | 'refused', never, never>;
    body: string;
    due_at: string;
    taken_until: string | null;
    held_by: string | null;
    dedupe_key: Buffer | null;
    version: Generated<number>;
    attempts: Generated<number>;
    reason: string | null;
    created_at: Generated<string>;
  };
  'signalbox.message_failure': {
    message_id: string;
    failures: number;
    failed_at: Generated<string>;
  };
  'signalbox.claim': { name: string; epoch: string; held_until: string };
  'signalbox.switch': {
    name: string;
    state: string;
    by: string;
    why: string;
    at: Generated<string>;
  };
  'signalbox.nonce': { key_id: string; nonce: string; expires_at: string };
  'signalbox.call_rate': { caller: string; minute: string; calls: number };
  'signalbox.audit': {
    id: Generated<string>;
    at: Generated<string>;
    who: string;
    what: string;
    why: string | null;
    detail: string | null;
  };
}
