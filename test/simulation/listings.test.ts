import './silence-logs.ts';

import { listings } from './scenarios/listings.ts';
import { playShareOf } from './share-of-npm-test.ts';

playShareOf(listings);
