/** Tests of the deployed stack change it, or deploy it again: a file waits until no other one runs. */
import { afterAll } from 'vitest';
import { exclusively } from './started.ts';

afterAll(await exclusively('stack'));
