import { describe, expect, test } from "vitest";
import { VirtualClock } from "../../test/tier/virtual-clock.js";
import { Breaker, type BreakerState } from "./breaker.js";

/** A breaker over a store that works while `works` says so; each trial takes 10 ms. */
async function breakerOver(store: { works: boolean }, random: () => number = () => 0) {
  const clock = new VirtualClock();
  const trials: number[] = [];
  const states: BreakerState[] = [];
  const breaker: Breaker = new Breaker({
    clock,
    random,
    trial: () => {
      trials.push(clock.now());
      return new Promise((resolve) => void clock.after(10, () => resolve(store.works)));
    },
    onChange: () => states.push(breaker.state),
  });
  void breaker.begin();
  await clock.pass(10);
  return { clock, breaker, trials, states };
}

const failTimes = (breaker: Breaker, times: number) => {
  for (let i = 0; i < times; i++) breaker.fail();
};

describe("a breaker", () => {
  test("begins with a trial, and is closed when that succeeds", async () => {
    const { breaker, trials, states } = await breakerOver({ works: true });
    expect({ trials, states, state: breaker.state }).toEqual({
      trials: [0],
      states: ["closed"],
      state: "closed",
    });
  });

  test("opens at the third failure in a row, and not at one that an answer came before", async () => {
    const { breaker } = await breakerOver({ works: true });
    failTimes(breaker, 2);
    breaker.succeed();
    failTimes(breaker, 2);
    expect(breaker.state).toBe("closed");
    breaker.fail();
    expect(breaker.state).toBe("open");
  });

  test("open, it tries after 1, 2, 4, 8, 16 and then 30 seconds, and begins with 1 again once the store works", async () => {
    const store = { works: false };
    const { clock, breaker, trials } = await breakerOver(store);
    await clock.pass(100_000);
    expect(trials.map((at, i) => (i === 0 ? 0 : at - trials[i - 1] - 10))).toEqual([
      0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ]);
    store.works = true;
    await clock.pass(30_010);
    expect(breaker.state).toBe("closed");
    failTimes(breaker, 3);
    const openedAt = clock.now();
    await clock.pass(1000);
    expect(trials.at(-1)).toBe(openedAt + 1000);
  });

  test("jitter takes away up to a quarter, and never adds", async () => {
    const { clock, trials } = await breakerOver({ works: false }, () => 0.999);
    await clock.pass(750);
    expect(trials).toHaveLength(1);
    await clock.pass(11);
    expect(trials).toHaveLength(2);
  });

  test("half-open, it is tried once, whatever fails meanwhile", async () => {
    const store = { works: true };
    const { clock, breaker, trials, states } = await breakerOver(store);
    failTimes(breaker, 3);
    await clock.pass(1005);
    expect(breaker.state).toBe("half-open");
    failTimes(breaker, 10);
    await clock.pass(5);
    expect({ trials: trials.length, state: breaker.state }).toEqual({ trials: 2, state: "closed" });
    expect(states).toEqual(["closed", "open", "half-open", "closed"]);
  });

  test("open, it sets no timer but that of its trial; disposed of, none", async () => {
    const { clock, breaker, trials } = await breakerOver({ works: true });
    expect(clock.numTimers).toBe(0);
    failTimes(breaker, 3);
    expect(clock.numTimers).toBe(1);
    breaker.dispose();
    expect(clock.numTimers).toBe(0);
    await clock.pass(60_000);
    expect(trials).toHaveLength(1);
  });

  test("what a trial brings after the end changes nothing", async () => {
    const { clock, breaker, states } = await breakerOver({ works: false });
    await clock.pass(1005);
    breaker.dispose();
    await clock.pass(60_000);
    expect(states).toEqual(["open", "half-open"]);
    expect(clock.numTimers).toBe(0);
  });
});
