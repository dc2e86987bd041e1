import type { Scenario } from '../play.ts';
import { binlog } from './binlog.ts';
import { broker } from './broker.ts';
import { burstOf } from './burst.ts';
import { claimsOf } from './claims.ts';
import { jobsDone } from './jobs.ts';
import { http, outbox } from './outbox.ts';
import { postponed } from './postponed.ts';
import { pushes } from './pushes.ts';

export const scenarios: readonly Scenario[] = [
  broker,
  jobsDone,
  outbox,
  http,
  postponed,
  pushes,
  binlog,
  claimsOf(2),
  claimsOf(20),
  burstOf(300, 120),
];
