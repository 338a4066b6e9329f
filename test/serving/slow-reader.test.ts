/** A client that asks for a lot and never reads: what waits for it is bounded, the others notice nothing, it is dropped. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { complete, endAll, metric, start } from "./serve-process.js";

afterEach(endAll);

test("a client that does not read is dropped, and holds nothing up", async () => {
  // Of what the other bounds would refuse at once.
  const raised = ["--max-logprob-entries", "2000000", "--max-answer-bytes", "2000000000"];
  const { url, port, log } = await start("--max-stream-buffer", "262144", "--kv-memory", "64MiB", ...raised);
  const ask = async (seed: number) => {
    const answer = await complete(url, { seed, max_tokens: 24, prompt: `Number ${seed}` });
    return (await answer.json()).choices[0].text as string;
  };
  const alone = [await ask(1), await ask(2)];
  // Some fifty megabytes of events, if they were taken.
  const body = JSON.stringify({
    prompt: ["Once", "Tom", "Lily", "A dog", "A cat", "The sun", "One day", "Ben"],
    ...{ n: 16, max_tokens: 450, logprobs: 20, ignore_eos: true, stream: true },
  });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.pause();
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const beside = await Promise.all([ask(1), ask(2)]);
  expect(beside).toEqual(alone);
  await vi.waitFor(() => expect(log.some((line) => line.includes('"client_closed_request"'))).toBe(true), {
    timeout: 60_000,
    interval: 100,
  });
  expect([await ask(1), await ask(2)]).toEqual(alone);
  expect(await metric(url, "vllm:kv_cache_usage_perc")).toBe(0);
  expect(await metric(url, "process_resident_memory_bytes")).toBeLessThan(500e6);
  // What had left is all that it gets: no end that looks like one.
  let received = 0;
  let tail = "";
  socket.on("data", (bytes) => {
    received += bytes.length;
    tail = (tail + bytes.toString("latin1")).slice(-100);
  });
  socket.resume();
  await once(socket, "close");
  expect(received).toBeGreaterThan(262_144);
  expect(received).toBeLessThan(20e6);
  expect(tail).not.toContain("[DONE]");
  // One line for each request, and nothing beside them.
  const lines = log.map((line) => JSON.parse(line));
  expect(lines.every(({ msg }) => msg === "request")).toBe(true);
  expect(lines.find(({ error }) => error !== null)).toMatchObject({ stream: true, status: 200 });
});
