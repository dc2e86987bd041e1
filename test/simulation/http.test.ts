import './silence-logs.ts';

import { http } from './scenarios/outbox.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(http);
