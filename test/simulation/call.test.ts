import './silence-logs.ts';

import { call } from './scenarios/call.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(call);
