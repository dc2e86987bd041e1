import './silence-logs.ts';

import { accounting } from './scenarios/accounting.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(accounting);
