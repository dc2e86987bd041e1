import { readFileSync } from 'node:fs';
import { DeleteParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { documentSchemas } from '../../infra/constructs/documents.ts';
import { clientOptions } from '../../local/emulator.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'WARN');
const { settings } = await import('../../lib/platform/lambda/config.ts');
const { Unavailable } = await import('../../lib/platform/errors.ts');

const client = new SSMClient(clientOptions(emulator));
const Settings = z.object({ limit: z.int() });
let Name = '';
let parameters = 0;
let now = 0;
const lines: string[] = [];
const print = process.stderr.write;

beforeEach(() => {
  parameters += 1;
  Name = `/test/config-${process.pid}-${parameters}`;
  now = 0;
  lines.length = 0;
  process.stderr.write = ((line: string) => lines.push(line) > 0) as typeof print;
});
afterEach(() => {
  process.stderr.write = print;
});

const put = (Value: string) =>
  client.send(new PutParameterCommand({ Name, Value, Type: 'String', Overwrite: true }));
const remove = () => client.send(new DeleteParameterCommand({ Name }));

function reader() {
  vi.stubEnv('SETTINGS_TEST', Name);
  return settings('test', Settings, { clock: () => now });
}
const warnings = () =>
  lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'WARN');

test('a document is read again when it is a minute old', async () => {
  await put('{"limit":1}');
  const read = reader();
  expect(await read()).toEqual({ limit: 1 });
  await put('{"limit":2}');
  now = 59_999;
  expect(await read()).toEqual({ limit: 1 });
  now = 60_000;
  expect(await Promise.all([read(), read()])).toEqual([{ limit: 2 }, { limit: 2 }]);
});

test.each([
  ['is not valid any more', () => put('{"limit":"many"}'), 'is not valid: limit: '],
  ['is no JSON any more', () => put('{'), 'is not valid: '],
  ['is gone', remove, 'cannot be read'],
])(
  'a document that %s leaves the last good one in force, with one warning',
  async (_, spoil, why) => {
    await put('{"limit":1}');
    const read = reader();
    await read();
    await spoil();
    for (let minute = 1; minute <= 3; minute++) {
      now = minute * 60_000;
      expect(await read()).toEqual({ limit: 1 });
    }
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toMatchObject({ message: 'settings-kept', domain: 'test' });
    expect(warnings()[0].error.message).toContain(`The parameter ${Name} ${why}`);
    await put('{"limit":2}');
    now += 9_999;
    expect(await read()).toEqual({ limit: 1 });
    now += 1;
    expect(await read()).toEqual({ limit: 2 });
    await spoil();
    now += 60_000;
    expect(await read()).toEqual({ limit: 2 });
    expect(warnings()).toHaveLength(2);
  },
);

test('a document with fields that the running code does not know is read without them', async () => {
  const Strict = z.strictObject({
    limit: z.int(),
    partners: z.array(z.strictObject({ url: z.url() })),
  });
  await put(
    '{"limit":1,"added":{"by":"the next release"},"partners":[{"url":"https://a.example.com","timeout":5}]}',
  );
  vi.stubEnv('SETTINGS_TEST', Name);
  const read = settings('test', Strict, { clock: () => now });
  expect(await read()).toEqual({ limit: 1, partners: [{ url: 'https://a.example.com' }] });
  await put('{"limit":"many","added":true,"partners":[]}');
  vi.stubEnv('SETTINGS_TEST', Name);
  const fresh = settings('test', Strict, { clock: () => now });
  await expect(fresh()).rejects.toThrow(
    /^The parameter \S+ is not valid: limit: Invalid input: expected number, received string$/,
  );
});

test.each(Object.keys(documentSchemas))(
  'config/%s.json with a field of the next release is read by the running code, and refused at synth',
  async (domain) => {
    const schema = documentSchemas[domain] ?? z.never();
    const file = new URL(`../../config/${domain}.json`, import.meta.url);
    const document = JSON.parse(readFileSync(file, 'utf8'));
    await put(JSON.stringify({ ...document, added_by_the_next_release: 1 }));
    vi.stubEnv('SETTINGS_TEST', Name);
    expect(await settings('test', schema)()).toMatchObject(document);
    expect(schema.safeParse({ ...document, added_by_the_next_release: 1 }).success).toBe(false);
  },
);

test('without a good one there is none: the first reading throws, and the next one tries again', async () => {
  const read = reader();
  await expect(read()).rejects.toThrow(Unavailable);
  await put('{"limit":true}');
  await expect(read()).rejects.toThrow(`The parameter ${Name} is not valid: limit: `);
  await put('{"limit":1}');
  expect(await read()).toEqual({ limit: 1 });
  expect(warnings()).toEqual([]);
});
