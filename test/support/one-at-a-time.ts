/** System tests change the one deployed stack: a file waits until no other one runs. */
import { afterAll } from 'vitest';
import { exclusively } from './started.ts';

const release = await exclusively('system');
afterAll(release);
