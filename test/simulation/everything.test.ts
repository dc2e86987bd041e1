import './silence-logs.ts';

import { everything } from './scenarios/everything.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(everything);
