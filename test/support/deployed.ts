/** Tests that need the deployed stack wait for it here, where waiting does not count as theirs. */
import { started } from './started.ts';

const { emulator } = await started('stack');
Object.assign(process.env, emulator.env);
