import { run } from './databases.ts';

const schema = 'sublessor_history';

/** The old system's tables, empty, with the columns that it has. */
export async function createHistory(): Promise<void> {
  await run(`drop schema if exists ${schema};
    create schema ${schema} default character set utf8mb4;
    create table ${schema}.sublessor_call_log_201409 (
      id bigint primary key, call_id varchar(64) collate utf8mb4_bin unique, user_id bigint,
      caller varchar(32), callee varchar(32), status int, started_at datetime, duration int, call_type tinyint,
      filter_rule tinyint null, created_at datetime);
    create table ${schema}.sublessor_call_payment_log_201409 (
      id bigint primary key, call_log_id bigint null unique, reverses_id bigint null unique,
      user_id bigint, amount_fen bigint, call_type tinyint, state varchar(10),
      balance_fen bigint null, reason varchar(500) null, created_at datetime, updated_at datetime);
    create table ${schema}.sublessor_contract (
      contract_id bigint primary key, contract_no varchar(64) unique, user_id bigint,
      customer varchar(128), amount_fen bigint, balance_fen bigint, signed_at datetime, status tinyint);
    create table ${schema}.sublessor_accounting_income_201409 (
      id bigint primary key, payment_id bigint, contract_id bigint null, user_id bigint,
      amount_fen bigint, created_at datetime)`);
}

/** When all of the old system happened. */
export const oldTime = { at: '2026-10-01 10:00:00' };

/** A call as the old system has logged and, if `rule` is given, decided it. */
export const oldCall = (
  id: number,
  callId: string,
  rule: number | null = 1,
  userId = 7001,
  { caller = '+86 139-0000-0001', startedAt = oldTime.at } = {},
) =>
  run(
    `insert into ${schema}.sublessor_call_log_201409
     values (?, ?, ?, ?, '4008001234', 1, ?, 60, 1, ?, ?)`,
    [id, callId, userId, caller, startedAt, rule, oldTime.at],
  );

export const oldPayment = (id: number, callLogId: number, state = 'charged', userId = 7001) =>
  run(
    `insert into ${schema}.sublessor_call_payment_log_201409
     values (?, ?, null, ?, 4000, 1, ?, 96000, null, ?, ?)`,
    [id, callLogId, userId, state, oldTime.at, oldTime.at],
  );

export const oldContract = (id: number, amountFen: number, balanceFen: number, userId = 7001) =>
  run(
    `insert into ${schema}.sublessor_contract values (?, ?, ?, '客户', ?, ?, '2026-09-01 10:00:00', 1)`,
    [id, `C-${id}`, userId, amountFen, balanceFen],
  );

export const oldIncome = (
  id: number,
  paymentId: number,
  contractId: number | null,
  userId = 7001,
) =>
  run(`insert into ${schema}.sublessor_accounting_income_201409 values (?, ?, ?, ?, 4000, ?)`, [
    ...[id, paymentId, contractId, userId, oldTime.at],
  ]);
