import './silence-logs.ts';

import { binlog } from './scenarios/binlog.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(binlog);
