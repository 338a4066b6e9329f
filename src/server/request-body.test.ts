/** Which bodies are parsed on the event loop and which beside it, and what becomes of the thread that does so. */
import { z } from "@hono/zod-openapi";
import { describe, expect, test, vi } from "vitest";
import { BodyThread } from "./body-thread.js";
import { settleLimits } from "./limits.js";
import { readBody } from "./request-body.js";

const MIB = 1024 * 1024;
const CALLER = { key: "a", signal: new AbortController().signal };

describe("a body", () => {
  const parse = vi.fn(async () => ({}));
  const read = async (body: string, asked = {}) => {
    parse.mockClear();
    const request = new Request("http://127.0.0.1/", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    const limits = settleLimits(asked);
    const path = "/v1/completions";
    await readBody(request, { path, schema: z.unknown(), limits, thread: { parse }, caller: CALLER });
    return parse.mock.calls.length;
  };
  const names = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":0`).join(",");

  test("of a usual size and kind is parsed at once", async () => {
    expect(await read("{}")).toBe(0);
    expect(await read(`"${"a".repeat(MIB - 2)}"`)).toBe(0);
    expect(await read(`[${Array(260_000).fill("123").join(",")}]`)).toBe(0);
    expect(await read(`{${names(10_000)}}`)).toBe(0);
    expect(await read(`[${Array(16_000).fill("{}").join(",")}]`)).toBe(0);
  });

  test("that is long, or has very many names or lists, is not", async () => {
    const wide = { bodyBytes: 8 * MIB, jsonContainers: 1e6, jsonElements: 1e6 };
    expect(await read(`"${"a".repeat(2 * MIB)}"`, wide)).toBe(1);
    expect(await read(`{${names(60_000)}}`)).toBe(1);
    expect(await read(`[${Array(30_000).fill("{}").join(",")}]`, wide)).toBe(1);
    expect(await read(`[${Array(600_000).fill("1").join(",")}]`, wide)).toBe(1);
  });
});

test("a thread that is lost takes the body that it was at, and the next one has another; keys take turns", async () => {
  const thread = new BodyThread({ limits: settleLimits(), contextLength: 4 });
  const bytes = () => new TextEncoder().encode('{"tokens":[1,2]}');
  const [lost, next, wrong] = await Promise.allSettled([
    thread.parse("/of-no-route", bytes(), CALLER),
    thread.parse("/detokenize", bytes(), CALLER),
    thread.parse("/detokenize", new TextEncoder().encode('{"tokens":[1,2,3,4,5]}'), CALLER),
  ]);
  expect(lost).toMatchObject({ reason: { status: 503, code: "body_thread_lost" } });
  expect(next).toMatchObject({ value: { tokens: [1, 2] } });
  expect(wrong).toMatchObject({ reason: { status: 400, code: "context_length_exceeded", param: "tokens" } });
  const waiting = thread.parse("/detokenize", bytes(), CALLER);
  waiting.catch(() => undefined);
  await thread.dispose();
  await expect(waiting).rejects.toMatchObject({ code: "shutting_down" });
  await expect(thread.parse("/detokenize", bytes(), CALLER)).rejects.toMatchObject({ code: "shutting_down" });
});

test("a body is read after at most one body of each other key, and one whose client has gone is not", async () => {
  const thread = new BodyThread({ limits: settleLimits(), contextLength: 4 });
  const done: string[] = [];
  const parse = (key: string, signal = CALLER.signal) =>
    thread
      .parse("/detokenize", new TextEncoder().encode('{"tokens":[1,2]}'), { key, signal })
      .then(() => done.push(key));
  const leaving = new AbortController();
  const others = ["a", "a", "a", "b", "b"].map((key) => parse(key));
  const left = expect(parse("b", leaving.signal)).rejects.toMatchObject({ status: 499 });
  leaving.abort();
  await Promise.all([...others, left, parse("guest")]);
  expect(done).toEqual(["a", "b", "guest", "a", "b", "a"]);
  await thread.dispose();
});
