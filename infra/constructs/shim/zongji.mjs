// It tells the binlog's events apart by the names of their classes, which do not outlive minification.
import * as events from '../../../node_modules/@vlasky/zongji/lib/binlog_event.js';
import * as rows from '../../../node_modules/@vlasky/zongji/lib/rows_event.js';

for (const [name, type] of Object.entries({ ...events, ...rows }))
  Object.defineProperty(type, 'name', { value: name });

export * from '../../../node_modules/@vlasky/zongji/index.js';
export { default } from '../../../node_modules/@vlasky/zongji/index.js';
