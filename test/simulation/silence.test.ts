import './silence-logs.ts';

import { silence } from './scenarios/outage.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(silence);
