import './silence-logs.ts';

import { outbox } from './scenarios/outbox.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(outbox);
