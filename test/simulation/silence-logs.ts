/** Imported before everything else: what hundreds of runs log is of no interest, and takes longer than the runs. */
Object.assign(process.env, {
  POWERTOOLS_LOG_LEVEL: 'SILENT',
  POWERTOOLS_METRICS_DISABLED: 'true',
  POWERTOOLS_SERVICE_NAME: 'simulation',
});
