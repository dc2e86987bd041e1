import './silence-logs.ts';

import { expect } from 'vitest';
import { brokerUpstreamAway } from './scenarios/broker.ts';
import { playShareOf } from './share-of-npm-test.ts';

/** Runs fail while upstream is unavailable for a minute, and nothing is lost. */
playShareOf(brokerUpstreamAway, ({ failed }) => expect(failed).toBeGreaterThan(0));
