import './silence-logs.ts';

import { claimsOf } from './scenarios/claims.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(claimsOf(20));
