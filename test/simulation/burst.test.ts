import './silence-logs.ts';

import { expect } from 'vitest';
import { burstOf } from './scenarios/burst.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(burstOf(300, 120), ({ injected }) => expect(injected).toBe(0));
