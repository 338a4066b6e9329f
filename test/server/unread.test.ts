/** Answers that are not read: they count until they have left, give way when there are too many, and have a time. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { listen } from "../../src/server/index.js";
import { soon } from "../soon.js";
import { type Served, served } from "./served.js";

let api: Served;
beforeAll(async () => {
  api = await served({ limits: { answerBytes: 120_000 } });
});
afterAll(() => api.server.dispose());

/** Answered with 9 KB. */
const TOKENS = { prompt: "a b ".repeat(500), return_token_strs: true };

/** Asks as a client that never reads. */
async function ask(path: string, body: object) {
  const drop = vi.fn();
  const onClose = vi.fn<(callback: () => void) => void>();
  const asked = new Request(`http://127.0.0.1:8080${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const response = await api.server.fetch(asked, { drop, onClose });
  expect(response.status).toBe(200);
  return { drop, close: () => onClose.mock.calls[0][0](), response };
}

test("whole answers and ended streams count until their connection says that they have left", async () => {
  const first = await ask("/tokenize", TOKENS);
  const size = (await first.response.arrayBuffer()).byteLength;
  expect(size).toBeGreaterThan(8000);
  const fitting = Math.floor(120_000 / (size + 1024));
  const waiting = [first];
  for (let i = 1; i < fitting; i++) waiting.push(await ask("/tokenize", TOKENS));
  expect(waiting.some(({ drop }) => drop.mock.calls.length > 0)).toBe(false);
  // One that is read makes room; then there is none, and the oldest gives way.
  waiting[1].close();
  await ask("/tokenize", TOKENS);
  expect(first.drop).not.toHaveBeenCalled();
  const stream = { prompt: "a", max_tokens: 60, ignore_eos: true, stream: true };
  const streams = [];
  for (let i = 0; i < 30; i++) {
    streams.push(await ask("/v1/completions", stream));
    await soon(() => expect(api.records.at(-1)).toMatchObject({ stream: true, completionTokens: 60 }));
    if (first.drop.mock.calls.length > 0) break;
  }
  expect(first.drop).toHaveBeenCalledTimes(1);
  expect(waiting[1].drop).not.toHaveBeenCalled();
});

test("over a socket an answer has left when it has been read", async () => {
  await using own = await served();
  await using listening = await listen(own.server, { host: "127.0.0.1", port: 0 });
  for (let i = 0; i < 10; i++) {
    const answer = await fetch(`${listening.url}/tokenize`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(TOKENS),
    });
    expect((await answer.json()).count).toBeGreaterThan(500);
  }
  await expectNoneWaits(own);
});

test("over a socket, the answer to a client that left before it is not kept", async () => {
  await using own = await served();
  await using listening = await listen(own.server, { host: "127.0.0.1", port: 0 });
  for (const stream of [false, true]) {
    const leaving = new AbortController();
    const asked = fetch(`${listening.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "Once", max_tokens: 500, ignore_eos: true, stream }),
      signal: leaving.signal,
    }).catch(() => undefined);
    await soon(() => expect(own.server.service.admission.running).toBeGreaterThan(0));
    leaving.abort();
    await asked;
    await soon(() => expect(own.records).toHaveLength(stream ? 2 : 1));
    expect(own.records.at(-1)).toMatchObject({ error: "client_closed_request" });
  }
  await expectNoneWaits(own);
});

test("a stream that is refused before its first event is none in the log, and its answer counts like any other", async () => {
  await using own = await served();
  const onClose = vi.fn<(callback: () => void) => void>();
  const ask = (more: object) =>
    own.server.fetch(
      new Request("http://127.0.0.1:8080/v1/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: "a", max_tokens: 2, stream: true, ...more }),
      }),
      { drop: () => undefined, onClose },
    );
  const refused = await ask({ structured_outputs: { regex: "[" } });
  expect(refused.status).toBe(400);
  expect(own.records.at(-1)).toMatchObject({ status: 400, stream: false });
  const { byteLength } = await refused.arrayBuffer();
  expect(await answerBytes(own)).toBeGreaterThan(byteLength);
  for (const [left] of onClose.mock.calls) left();
  await (await ask({})).text();
  await soon(() => expect(own.records.at(-1)).toMatchObject({ status: 200, stream: true }));
  for (const [left] of onClose.mock.calls) left();
});

test.each([
  ["nothing", () => undefined],
  ["a byte now and then", (read: () => void) => setInterval(read, 50)],
])("over a socket, an answer of which %s is read is dropped when its time is up", async (_, reading) => {
  await using own = await served({ limits: { requestSeconds: 1 } });
  await using listening = await listen(own.server, { host: "127.0.0.1", port: 0 });
  // More than an operating system takes for a reader that does not: the weights of the explorer's model.
  const path = "/explorer/stories/model.safetensors";
  const size = Number((await (await own.get(path)).arrayBuffer()).byteLength);
  expect(size).toBeGreaterThan(6e6);
  const socket = connect(listening.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  const reader = reading(() => socket.read(1));
  await soon(async () => expect(await answerBytes(own)).toBeGreaterThan(size));
  await expectNoneWaits(own);
  clearInterval(reader);
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  socket.resume();
  await once(socket, "close");
  expect(received).toBeLessThan(size);
});

async function expectNoneWaits(own: Served) {
  await soon(async () => expect(await answerBytes(own)).toBe(0));
}

/** As the metrics tell it. */
async function answerBytes({ get }: Served): Promise<number> {
  const metrics = await (await get("/metrics")).text();
  return Number(/^lastrow:answer_bytes\{[^}]*\} (\d+)$/m.exec(metrics)![1]);
}
