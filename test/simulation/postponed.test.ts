import './silence-logs.ts';

import { postponed } from './scenarios/postponed.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(postponed);
