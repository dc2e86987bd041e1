-- Shadow mode and the reconciliation read calls by when they were written down, whatever their rule.
alter table user_prop_db.sublessor_call_log_201409 add key by_created (created_at);
