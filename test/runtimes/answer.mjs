/** Asks the server's handlers, in whatever runtime this is, and once over that runtime's own socket. */
import { createServer } from "../../dist/server/index.js";

const server = await createServer({
  threads: 1,
  chatTemplate: 'Tom said: "{{ messages[0].content }}"\nLily said: "',
});
const answers = {};

async function ask(name, fetchOne, path, body) {
  const response = await fetchOne(
    new Request(path, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }),
  );
  const text = await response.text();
  // What differs from run to run: ids, times, what was cached.
  answers[name] = text
    .replace(/"(id|created|timings|system_fingerprint|cached_tokens)":("[^"]*"|\d+|\{[^}]*\})/g, '"$1":0')
    .replace(/, \d+ ms/g, "");
}

const handlers = (request) => server.fetch(request);
const local = "http://127.0.0.1:8080";
const completion = { prompt: "Once upon a time", max_tokens: 12, seed: 3, logprobs: 2 };
await ask("models", handlers, `${local}/v1/models`);
await ask("whole", handlers, `${local}/v1/completions`, completion);
await ask("streamed", handlers, `${local}/v1/completions`, { ...completion, stream: true });
await ask("chat", handlers, `${local}/v1/chat/completions`, {
  messages: [{ role: "user", content: "Hello" }],
  max_tokens: 8,
  seed: 3,
});
await ask("error", handlers, `${local}/v1/completions`, { prompt: 5 });
const metrics = await (await handlers(new Request(`${local}/metrics`))).text();
answers.metrics = /^vllm:generation_tokens_total\S* (\d+)$/m.exec(metrics)?.[1];

const socket = listen();
if (socket !== null) {
  await ask("over a socket", (request) => fetch(request), `${socket.url}/v1/completions`, {
    ...completion,
    stream: true,
  });
  await socket.close();
}
process.stdout.write(`${JSON.stringify(answers)}\n`);
await server.dispose();
process.exit(0);

/** The runtime's own way to listen; null in Node, whose way is tested elsewhere. */
function listen() {
  if ("Deno" in globalThis) {
    const http = globalThis.Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handlers);
    return { url: `http://127.0.0.1:${http.addr.port}`, close: () => http.shutdown() };
  }
  if ("Bun" in globalThis) {
    const http = globalThis.Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handlers });
    return { url: `http://127.0.0.1:${http.port}`, close: () => http.stop() };
  }
  return null;
}
