// The SDKs from npm: as sdks.py, one call for each line of JSON on standard input.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are in the environment of the clients, not beside this file.
const require = createRequire(`${process.argv[2]}/package.json`);
const load = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const made = (SDK, url) => (asked) =>
  new (SDK.default ?? SDK)({
    baseURL: url(asked.url),
    apiKey: asked.key,
    maxRetries: asked.retries,
    timeout: asked.timeout * 1000,
    defaultHeaders: asked.headers,
  });
const clients = {
  openai: made(await load("openai"), (url) => `${url}/v1`),
  anthropic: made(await load("@anthropic-ai/sdk"), (url) => url),
};

async function call(asked, objects) {
  const client = clients[asked.sdk](asked);
  const path = asked.method.split(".");
  const owner = path.slice(0, -1).reduce((value, name) => value[name], client);
  const given = await owner[path.at(-1)](asked.arguments);
  if (given?.[Symbol.asyncIterator] && asked.arguments?.stream) {
    for await (const each of given) objects.push(each);
  } else objects.push(given?.body && given.data ? { data: given.data } : given);
}

for await (const line of createInterface({ input: process.stdin })) {
  const objects = [];
  let error = null;
  try {
    await call(JSON.parse(line), objects);
  } catch (raised) {
    error = {
      type: raised.constructor.name,
      status: raised.status ?? null,
      message: String(raised.message),
      body: raised.error ?? null,
    };
  }
  console.log(JSON.stringify({ objects, error }));
}
