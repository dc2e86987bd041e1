/** Types of the tables of filtering and charging. */
import type { ColumnType, Generated } from 'kysely';
import type { PlatformTables } from '../platform/tables.ts';
import type { ChargeState } from './charge-states.ts';

/**
 * migrations/0005-call.sql, 0009-charging.sql and 0025-settled-by-hand.sql explain the tables and columns; `epoch` is the
 * fencing token.
 */
export interface CallTables extends PlatformTables {
  'user_prop_db.call_shadow_log': CallLog & {
    compared: 'agrees' | 'differs' | 'missing' | null;
  };
  'user_prop_db.broker_phone': {
    broker_id: string;
    phone: string;
    digits: string;
    updated_at: string | null;
  };
  'user_prop_db.broker_phone_run': {
    name: 'fill' | 'compare';
    day: string;
    after_id: Generated<string>;
    repaired: Generated<string>;
    done_at: string | null;
  };
  'user_prop_db.sublessor_call_log_201409': CallLog;
  'user_prop_db.call_pair': { user_id: string; caller_digits: string };
  'user_prop_db.sublessor_call_payment_log_201409': {
    id: Generated<string>;
    call_log_id: string | null;
    reverses_id: string | null;
    freed_call_log_id: string | null;
    freed_reverses_id: string | null;
    user_id: string;
    amount_fen: Fen;
    call_type: number;
    state: ChargeState;
    balance_fen: Fen | null;
    reason: string | null;
    created_at: Generated<string>;
    updated_at: Generated<string>;
    sent_at: string | null;
    in_hand_until: string | null;
    epoch: Generated<number>;
    asked: Generated<number>;
    ask_at: string | null;
    announced: Generated<number>;
    refund_refused_of: string | null;
    is_final: Generated<number>;
  };
  'user_prop_db.charge_gate': { scope: string; counted_after_id: Generated<string> };
  'user_prop_db.charge_stop': { scope: string; why: string; at: Generated<string> };
}

/** An amount in a BIGINT column, which is read as text. */
type Fen = ColumnType<string, number, number>;

/** The columns of `sublessor_call_log_201409`. */
export interface CallLog {
  id: Generated<string>;
  call_id: string;
  user_id: string;
  caller: string;
  callee: string;
  status: number;
  started_at: string;
  duration: number;
  call_type: number;
  filter_rule: number | null;
  created_at: Generated<string>;
  caller_digits: string;
  decided_at: string | null;
  decision: ColumnType<unknown, string | null, string | null>;
}
