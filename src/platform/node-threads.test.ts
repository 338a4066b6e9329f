/** Threads of Node, as they are without what the other tests put in their place (test/one-thread.ts). */
import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { threads } from "./node-threads.js";

test("an engine has as many threads as the process has cores", () => {
  expect(threads.availableThreads()).toBe(availableParallelism());
});
