/** Types of the tables that the order domain uses. */
import type { Generated } from 'kysely';
import type { PlatformTables } from '../platform/tables.ts';
import type { PushState } from './push-states.ts';

/** Schema `push_db`; migrations/0007-order.sql explains the columns. */
export interface PushTables extends PlatformTables {
  'push_db.push': {
    push_id: string;
    sequence: Generated<string>;
    order_id: string;
    scenario: number;
    receiver_type: string;
    receiver_id: string | null;
    channel: string;
    content: string;
    data: string | null;
    status_after: string;
    changed_at: string;
    late_from: string;
    state: PushState;
    reason: string | null;
    epoch: Generated<number>;
    in_hand_until: Generated<string | null>;
    attempts: Generated<number>;
    perhaps_sent_at: Generated<string | null>;
    message_id: Generated<string | null>;
    created_at: Generated<string>;
    updated_at: Generated<string>;
  };
  'push_db.order_seen': { order_id: string; status: string; updated_at: Generated<string> };
  'push_db.binlog_checkpoint': {
    name: string;
    server_uuid: string;
    gtid_set: string | null;
    file: string;
    position: string;
    rows_of: string | null;
    rows_done: string;
    read_to: string | null;
    epoch: string;
    updated_at: Generated<string>;
  };
  'push_db.prepared_transaction': { xid: string; noted_at: Generated<string> };
  'push_db.missed_transaction': {
    place: string;
    xid: string;
    committed_at: string;
    noted_at: Generated<string>;
  };
  'push_db.stuck_look': {
    name: string;
    state: string;
    looked_to: string;
    looked_push: string;
  };
  'push_db.prepared_row': { xid: string; ordinal: string; place: string; images: string };
  'push_db.push_log': {
    id: Generated<string>;
    push_id: string;
    order_id: string;
    outcome: string;
    entry: string;
    logged_at: Generated<string>;
  };
}

/** The columns that we read of another system's schema `order_db`. */
export interface OrderTables {
  'order_db.order': {
    order_id: string;
    patient_id: string | null;
    nurse_id: string | null;
    status: string | null;
    changed_by: string | null;
    updated_at: string | null;
  };
}
