import './silence-logs.ts';

import { expect } from 'vitest';
import { outageOf } from './scenarios/outage.ts';
import { playShareOf } from './share-of-npm-test.ts';

/** Every message waits, and 25 minutes after the outage none does. */
playShareOf(outageOf(3), ({ injected }) => expect(injected).toBe(0));
