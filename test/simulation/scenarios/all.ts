import type { Scenario } from '../play.ts';
import { broker } from './broker.ts';

export const scenarios: readonly Scenario[] = [broker];
