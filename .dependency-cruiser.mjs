/** The import arrows of the design. `test/structure.test.ts` runs them and plants a violation of each. */
export default {
  forbidden: [
    {
      name: 'nobody-imports-functions',
      comment: 'A function is an entry; what others need of it lives in lib/.',
      severity: 'error',
      from: { path: '^(lib|infra|local|ops|functions)/' },
      to: { path: '^functions/' },
    },
    {
      name: 'functions-import-lib-only',
      comment: 'A function names its dependencies and its handler; it holds no SDK and no SQL.',
      severity: 'error',
      from: { path: '^functions/' },
      to: { pathNot: '^lib/' },
    },
    {
      name: 'platform-knows-no-domain',
      severity: 'error',
      from: { path: '^lib/platform/' },
      to: { path: '^lib/(?!platform/)' },
    },
    {
      name: 'domains-meet-in-events',
      comment: 'Of another domain only its events.ts may be imported.',
      severity: 'error',
      from: { path: '^lib/([^/]+)/' },
      to: { path: '^lib/(?!platform/|wechat/)([^/]+)/', pathNot: '^lib/($1/|[^/]+/events\\.ts$)' },
    },
    {
      name: 'lib-stays-below',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(infra|local|ops|test|bench)/' },
    },
    {
      name: 'ops-knows-names-only',
      comment: 'What a person does by hand goes through queues and functions, never past them.',
      severity: 'error',
      from: { path: '^ops/' },
      to: {
        path: '^(lib|functions|infra|local|test|bench)/',
        pathNot:
          '^lib/platform/(names|messaging/queue|lambda/mask|operations/inputs)\\.ts$|^lib/[^/]+/inputs\\.ts$|^local/progress\\.ts$',
      },
    },
    {
      name: 'nobody-imports-ops',
      severity: 'error',
      from: { path: '^(functions|infra|local)/' },
      to: { path: '^ops/' },
    },
    {
      name: 'infra-knows-names-only',
      comment:
        'Infrastructure sees queues, events, routes and settings of a domain, never its logic.',
      severity: 'error',
      from: { path: '^infra/' },
      to: {
        path: '^lib/',
        pathNot:
          '^lib/(?!platform/)[^/]+/(queues|events|routes|settings)\\.ts$|^lib/platform/(names|settings|outcomes|messaging/(queue|event)|http/(route|routes))\\.ts$',
      },
    },
    {
      name: 'handlers-are-made-in-platform',
      comment: 'middy and Powertools live in lib/platform and nowhere else.',
      severity: 'error',
      from: { path: '^(lib|functions|infra)/', pathNot: '^(lib/platform|infra/constructs/shim)/' },
      to: { path: 'node_modules/(@middy|@aws-lambda-powertools|@aws-sdk)/' },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.cjs', '.js'] },
  },
};
