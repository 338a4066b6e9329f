/** Answers that nobody reads: they count until they have left, and give way when there are too many. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { listen } from "../../src/server/index.js";
import { type Served, served } from "./served.js";

let api: Served;
beforeAll(async () => {
  api = await served({ limits: { answerBytes: 120_000 } });
});
afterAll(() => api.server.dispose());

/** Answered with 9 KB. */
const TOKENS = { prompt: "a b ".repeat(500), return_token_strs: true };

/** Asks as somebody who never reads. */
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
    await vi.waitFor(() => expect(api.records.at(-1)).toMatchObject({ stream: true, completionTokens: 60 }));
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
  await vi.waitFor(async () => {
    const metrics = await (await own.get("/metrics")).text();
    expect(metrics).toMatch(/^lastrow:answer_bytes\{[^}]*\} 0$/m);
  });
});
