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

  test("open, it tries every second, for as long as the store is gone: one that is back is in use after a second at most", async () => {
    const store = { works: false };
    const { clock, breaker, trials } = await breakerOver(store);
    await clock.pass(100_000);
    expect(new Set(trials.slice(1).map((at, i) => at - trials[i] - 10))).toEqual(new Set([1000]));
    store.works = true;
    await clock.pass(1010);
    expect(breaker.state).toBe("closed");
  });

  test("a store that answers trials alone is left alone for 1, 2, 4, 8, 16 and then 30 seconds, and for 1 again when it has answered", async () => {
    const { clock, breaker, trials } = await breakerOver({ works: true });
    const openMs = async () => {
      const begun = clock.now();
      failTimes(breaker, 3);
      await clock.until(() => breaker.state === "closed");
      return trials.at(-1)! - begun;
    };
    const all: number[] = [];
    for (let i = 0; i < 7; i++) all.push(await openMs());
    breaker.succeed();
    all.push(await openMs());
    expect(all).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 1000]);
  });

  test("one that is left alone for longer, and is gone then, is tried every second, too", async () => {
    const store = { works: true };
    const { clock, breaker, trials } = await breakerOver(store);
    for (let i = 0; i < 3; i++) {
      failTimes(breaker, 3);
      await clock.until(() => breaker.state === "closed");
    }
    failTimes(breaker, 3);
    store.works = false;
    await clock.pass(8010);
    const [last] = trials.slice(-1);
    await clock.pass(1010);
    expect(trials.at(-1)).toBe(last + 10 + 1000);
  });

  test("open, it is tried at once when its connection is there again, and once", async () => {
    const store = { works: true };
    const { clock, breaker, trials, states } = await breakerOver(store);
    // It is not needed.
    breaker.connected();
    failTimes(breaker, 3);
    await clock.pass(100);
    breaker.connected();
    breaker.connected();
    expect([trials, breaker.state, clock.numTimers]).toEqual([[0, 110], "half-open", 1]);
    await clock.pass(10);
    expect(states).toEqual(["closed", "open", "half-open", "closed"]);
    // It was no good, and that is known: what comes back so fast is left alone.
    failTimes(breaker, 3);
    await clock.pass(100);
    breaker.connected();
    expect([trials.length, breaker.state]).toEqual([2, "open"]);
    breaker.dispose();
    breaker.connected();
    await clock.pass(60_000);
    expect(trials).toHaveLength(2);
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
