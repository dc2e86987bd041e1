import './silence-logs.ts';

import { outageOf } from './scenarios/outage.ts';
import { playShareOf } from './share-of-npm-test.ts';

/** What has waited for twelve days is dead-lettered with its reason. */
playShareOf(outageOf(13));
