import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { onAbort } from "./abort-listeners.js";
import { load } from "./library/load.js";

it("has one listener for all that wait, and none when none does", () => {
  const { signal } = new AbortController();
  const ends = Array.from({ length: 30 }, () => onAbort(signal, () => undefined));
  expect(getEventListeners(signal, "abort").length).toBe(1);
  for (const end of ends) {
    end();
    end();
  }
  expect(getEventListeners(signal, "abort").length).toBe(0);
  onAbort(signal, () => undefined);
  expect(getEventListeners(signal, "abort").length).toBe(1);
});

it("calls each who still waits, once, in order", () => {
  const controller = new AbortController();
  const called: number[] = [];
  const ends = [0, 1, 2, 3].map((i) => onAbort(controller.signal, () => void called.push(i)));
  ends[1]!();
  controller.abort();
  controller.abort();
  for (const end of ends) end();
  expect(called).toEqual([0, 2, 3]);
});

it("does not make Node warn of many calls with one signal", async () => {
  const { signal } = new AbortController();
  await using lm = await load(undefined, { threads: 1 });
  const calls = Array.from({ length: 15 }, () => lm.generate([1], { maxTokens: 1, signal }));
  const logits = Array.from({ length: 15 }, () => lm.logits([1, 2], { signal }));
  expect(getEventListeners(signal, "abort").length).toBe(1);
  await Promise.all([...calls.map((call) => call.result()), ...logits]);
  expect(getEventListeners(signal, "abort").length).toBe(0);
});
