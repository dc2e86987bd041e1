/** Types of the tables of accounting, listings and reconciliation. */
import type { ColumnType, Generated } from 'kysely';
import type { OutOfMoney } from './queues.ts';
import type { CallTables } from './tables.ts';

/** migrations/0006-call-accounting.sql and 0020 to 0023 explain the tables and columns; `epoch` is the fencing token. */
export interface AccountingTables extends CallTables {
  'user_prop_db.sublessor_contract': {
    contract_id: string;
    contract_no: string;
    user_id: string;
    customer: string;
    amount_fen: string;
    balance_fen: string;
    signed_at: string;
    status: Generated<'open' | 'posted' | 'refused'>;
    created_at: Generated<string>;
  };
  'user_prop_db.sublessor_accounting_income_201409': {
    id: Generated<string>;
    payment_id: string;
    contract_id: string | null;
    user_id: string;
    amount_fen: string;
    created_at: Generated<string>;
  };
  'user_prop_db.sublessor_account': { user_id: string; allocate_since: string | null };
  'user_prop_db.sublessor_income_cursor': { log: string; posted_to: string };
  'user_prop_db.sublessor_income_open': {
    payment_id: string;
    why: string | null;
    tried_at: string | null;
    created_at: Generated<string>;
  };
  'user_prop_db.sublessor_contract_posting': {
    contract_id: string;
    contract_no: string;
    amount_fen: string;
    bill_no: string | null;
    message: string | null;
    customers_before: ColumnType<string[] | null, string | null, string | null>;
    epoch: Generated<number>;
    held_until: string | null;
    attempts: Generated<number>;
    created_at: Generated<string>;
    updated_at: Generated<string>;
  };
  'user_prop_db.sublessor_listings': {
    user_id: string;
    cause_at: string | null;
    cause_payment_id: string | null;
    cause: OutOfMoney['why'] | null;
    topped_up_at: string | null;
    state: Generated<'online' | 'offline'>;
    since: string | null;
    request_id: string | null;
    request_done: Generated<number>;
    epoch: Generated<number>;
    held_until: string | null;
    attempts: Generated<number>;
  };
  'user_prop_db.sublessor_top_up_ahead': {
    user_id: string;
    stamped_at: string;
    balance_fen: ColumnType<string, number, never>;
    received_at: string;
  };
  'user_prop_db.sublessor_reconciliation': {
    day: string;
    verdict: 'balanced' | 'differences' | 'incomplete';
    differences: number;
    missing: string | null;
    made_at: Generated<string>;
  };
  'user_prop_db.sublessor_difference': {
    day: string;
    kind: string;
    subject: string;
    ours: string | null;
    theirs: string | null;
  };
}
