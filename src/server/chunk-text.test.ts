/** A whole answer is what JSON makes of it at once, made one choice in each turn of the event loop. */
import { expect, test } from "vitest";
import { wholeText } from "./chunk-text.js";

test("a whole answer is made one choice in a turn", async () => {
  let made = 0;
  const madeByTurn: number[] = [];
  function* choices() {
    for (let index = 0; index < 5; index++) {
      made += 1;
      yield { index, text: '"' };
    }
  }
  const text = wholeText({ id: "a", object: "b" }, choices(), { usage: { of: 1 }, timings: { ms: 2 } });
  for (let turn = 0; turn < 5; turn++) {
    madeByTurn.push(made);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(madeByTurn).toEqual([1, 2, 3, 4, 5]);
  const all = Array.from({ length: 5 }, (_, index) => ({ index, text: '"' }));
  expect(await text).toBe(
    JSON.stringify({ id: "a", object: "b", choices: all, usage: { of: 1 }, timings: { ms: 2 } }),
  );
});
