import './silence-logs.ts';

import { jobsDone } from './scenarios/jobs.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(jobsDone);
