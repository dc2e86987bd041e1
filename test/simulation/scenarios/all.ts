import type { Scenario } from '../run-scenario.ts';
import { accounting } from './accounting.ts';
import { binlog } from './binlog.ts';
import { broker, brokerUpstreamAway } from './broker.ts';
import { burstOf } from './burst.ts';
import { call } from './call.ts';
import { callsOf } from './calls.ts';
import { claimsOf } from './claims.ts';
import { everything } from './everything.ts';
import { extensions } from './extensions.ts';
import { jobsDone } from './jobs.ts';
import { listings } from './listings.ts';
import { outageOf, silence } from './outage.ts';
import { http, outbox } from './outbox.ts';
import { postponed } from './postponed.ts';
import { profileReads, profileReadsAway } from './profile-reads.ts';
import { pushes } from './pushes.ts';

export const scenarios: readonly Scenario[] = [
  accounting,
  broker,
  brokerUpstreamAway,
  extensions,
  everything,
  call,
  callsOf(1_000),
  jobsDone,
  listings,
  outbox,
  http,
  postponed,
  profileReads,
  profileReadsAway,
  pushes,
  binlog,
  claimsOf(2),
  claimsOf(20),
  burstOf(300, 120),
  silence,
  outageOf(3),
  outageOf(13),
];
