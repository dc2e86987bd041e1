/** What infra/ gives a deployed function, for handlers that run in a test's own process. */
import { inject } from 'vitest';
import { settingsName } from '../../infra/constructs/names.ts';
import { busVariable, secretVariable, settingsVariable } from '../../lib/platform/names.ts';

const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);
const { env } = inject('emulator');

Object.assign(process.env, env, {
  TZ: 'Asia/Shanghai',
  // What is logged is looked at where it counts: in the deployed functions' logs (test/system).
  POWERTOOLS_LOG_LEVEL: 'SILENT',
  POWERTOOLS_METRICS_DISABLED: 'true',
  POWERTOOLS_SERVICE_NAME: 'test',
  [secretVariable('mysql')]: `signalbox/test-${worker}/mysql`,
  [secretVariable('mysql-upstream')]: `signalbox/test-${worker}/mysql-upstream`,
  [settingsVariable('broker')]: settingsName('local', 'broker'),
  [settingsVariable('platform')]: settingsName('local', 'platform'),
  [busVariable]: 'signalbox',
});
