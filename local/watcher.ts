/** Ends the servers of a stack when the process that started them has ended, even by kill -9. */
import { endListed } from './processes.ts';

const [file] = process.argv.slice(2);
process.stdin.resume();
process.stdin.on('end', () => {
  if (file) endListed(file);
});
