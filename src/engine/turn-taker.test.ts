import { expect, test } from "vitest";
import { TurnTaker } from "./turn-taker.js";

/** Takes five turns, and says before which of them others had one. */
async function turnsOfOthers(longestHoldMs: number, isWaitedFor: (turn: number) => boolean) {
  const given: number[] = [];
  let turn = 0;
  const turns = new TurnTaker(
    async () => void given.push(turn),
    longestHoldMs,
    () => isWaitedFor(turn),
  );
  for (; turn < 5; turn++) await turns.take();
  return given;
}

test("others have a turn each time, or when something waits, or after a while", async () => {
  expect(await turnsOfOthers(0, () => false)).toEqual([0, 1, 2, 3, 4]);
  expect(await turnsOfOthers(60_000, () => false)).toEqual([]);
  expect(await turnsOfOthers(60_000, (turn) => turn === 1 || turn === 3)).toEqual([1, 3]);
});
