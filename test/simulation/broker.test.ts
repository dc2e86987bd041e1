import './silence-logs.ts';

import { broker } from './scenarios/broker.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(broker);
