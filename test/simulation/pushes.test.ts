import './silence-logs.ts';

import { pushes } from './scenarios/pushes.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(pushes);
