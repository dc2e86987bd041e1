import './silence-logs.ts';

import { expect } from 'vitest';
import { profileReadsAway } from './scenarios/profile-reads.ts';
import { playShareOf } from './share-of-npm-test.ts';

/** The cache is unavailable for ten minutes and later fails over; no reader is shown an old profile too late. */
playShareOf(profileReadsAway, ({ injected }) => expect(injected).toBe(0));
