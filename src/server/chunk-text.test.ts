/** A whole answer is what JSON makes of it at once, made one choice in each turn of the event loop. */
import { expect, test } from "vitest";
import { choiceText, listsText, wholeText } from "./chunk-text.js";

test("a whole answer is made one choice in a turn", async () => {
  let made = 0;
  const madeByTurn: number[] = [];
  async function* choices() {
    for (let index = 0; index < 5; index++) {
      made += 1;
      yield choiceText({ index, text: '"' }, "null", "stop");
    }
  }
  const text = wholeText({ id: "a", object: "b" }, choices(), { usage: { of: 1 }, timings: { ms: 2 } });
  for (let turn = 0; turn < 5; turn++) {
    madeByTurn.push(made);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(madeByTurn.at(-1)).toBeGreaterThan(2);
  for (const [turn, count] of madeByTurn.entries()) expect(count).toBeLessThanOrEqual(turn + 1);
  const all = Array.from({ length: 5 }, (_, index) => ({
    ...{ index, text: '"', logprobs: null, finish_reason: "stop" },
  }));
  expect(await text).toBe(
    JSON.stringify({ id: "a", object: "b", choices: all, usage: { of: 1 }, timings: { ms: 2 } }),
  );
});

test("a choice's many log-probabilities are made some in a turn, and are what JSON makes of all", async () => {
  let made = 0;
  const madeByTurn: number[] = [];
  function* parts() {
    for (let part = 0; part < 5; part++) {
      made += 1;
      // One of them has nothing of a list.
      yield { tokens: part === 2 ? [] : [`"${part}`, "é"], 'of "two"': [part] };
    }
  }
  const text = listsText(parts());
  for (let turn = 0; turn < 5; turn++) {
    madeByTurn.push(made);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(madeByTurn).toEqual([1, 2, 3, 4, 5]);
  const tokens = [0, 1, 3, 4].flatMap((part) => [`"${part}`, "é"]);
  expect(await text).toBe(JSON.stringify({ tokens, 'of "two"': [0, 1, 2, 3, 4] }));
  expect(await listsText([{ content: [] }])).toBe('{"content":[]}');
});
