import './silence-logs.ts';

import { extensions } from './scenarios/extensions.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(extensions);
