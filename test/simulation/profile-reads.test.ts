import './silence-logs.ts';

import { profileReads } from './scenarios/profile-reads.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(profileReads);
