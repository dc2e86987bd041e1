/** What infra/ gives a deployed function, for handlers that run in a test's own process. */
import { workerServers } from './started.ts';

Object.assign(process.env, (await workerServers()).env);
