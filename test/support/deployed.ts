/** Component tests that need the deployed stack wait for it here, where waiting does not count as theirs. */
import { started } from './started.ts';

await started('stack');
