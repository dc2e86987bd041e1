/** Shows an OpenAPI document as an HTML page for people. */
import type { OpenApi, Operation } from './openapi.ts';

/** Returns an OpenAPI document as one HTML page that loads no other resources. */
export function docsPage({ paths, info }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const sections = operations.map(({ path, method, operation }) =>
    sectionOf(`${method.toUpperCase()} ${path}`, operation),
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(info['title'])}</title>
<style>${style}</style>
<h1>${escaped(info['title'])}</h1>
<p>${escaped(info['description'])} <a href="openapi.json">openapi.json</a></p>
${sections.join('\n')}
</html>
`;
}

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
section{border-top:1px solid #ccc}h2{font:600 1.1rem ui-monospace,monospace}
pre{background:#f4f4f4;padding:.5rem;overflow:auto}table{border-collapse:collapse}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}`;

function sectionOf(title: string, operation: Operation): string {
  const { operationId, summary, parameters, requestBody, responses } = operation;
  const rows = Object.entries(responses).map(
    ([status, { description }]) => `<tr><td>${status}<td>${escaped(description)}`,
  );
  const good = Object.entries(responses).filter(([status]) => Number(status) < 400);
  return `<section id="${escaped(operationId)}">
<h2>${escaped(title)}</h2>
<p>${escaped(summary)}</p>
<p>Who: ${escaped(whoOf(operation))}</p>
${parameters.map(({ name, in: place, schema }) => details(`${name} (${place})`, schema)).join('\n')}
${requestBody ? contentOf('Body', requestBody.content) : ''}
${good.map(([status, { content }]) => contentOf(`Answer ${status}`, content)).join('\n')}
<table>${rows.join('')}</table>
</section>`;
}

function whoOf({ security }: Operation): string {
  if (!security.length) return 'anyone';
  return security
    .map(({ bearer }) => (bearer ? `a token with the role ${bearer.join()}` : 'a signature'))
    .join(', or ');
}

const contentOf = (what: string, content: Readonly<Record<string, { schema: unknown }>>): string =>
  Object.entries(content)
    .map(([media, { schema }]) => details(`${what}, ${media}`, schema))
    .join('\n');

const details = (what: string, schema: unknown): string =>
  `<details><summary>${escaped(what)}</summary><pre>${escaped(JSON.stringify(schema, null, 2))}</pre></details>`;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};
const escaped = (text: unknown): string =>
  String(text).replaceAll(/[&<>"]/g, (sign) => entities[sign] ?? sign);
