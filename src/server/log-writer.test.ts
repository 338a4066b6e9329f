import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { logWriter } from "./log-writer.js";

/** A reader that takes a piece whenever it is told to. */
function slowReader() {
  const taken: string[] = [];
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    highWaterMark: 16,
    write(chunk, _, done) {
      taken.push(String(chunk));
      waiting.push(done);
    },
  });
  const takeAll = async () => {
    while (waiting.length > 0) {
      waiting.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { stream, taken, takeAll };
}

it("keeps a bounded amount for a reader that stands still, and says what it missed", async () => {
  const { stream, taken, takeAll } = slowReader();
  const write = logWriter(stream, (lines) => `${lines} left out\n`, 100);
  for (let i = 0; i < 10_000; i++) write(`line ${i}\n`);
  expect(stream.writableLength).toBeLessThanOrEqual(100);
  await takeAll();
  const kept = taken.length - 1;
  expect(kept).toBeGreaterThan(5);
  expect(taken.at(-1)).toBe(`${10_000 - kept} left out\n`);
  expect(taken.slice(0, 3)).toEqual(["line 0\n", "line 1\n", "line 2\n"]);
  // The same a second time.
  taken.length = 0;
  for (let i = 0; i < 1000; i++) write(`line ${i}\n`);
  await takeAll();
  expect(taken.at(-1)).toBe(`${1000 - (taken.length - 1)} left out\n`);
  write("after\n");
  expect(taken.at(-1)).toBe("after\n");
});

it("writes nothing to a reader that has left", () => {
  const { stream, taken } = slowReader();
  stream.destroy();
  logWriter(stream, String)("line\n");
  expect(taken).toEqual([]);
});
