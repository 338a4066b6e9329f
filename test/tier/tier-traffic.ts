/**
 * Random traffic for a tier whose store does anything: loads, stores and cancels come as they like, faults come and go, the store is
 * wiped; and whatever happens, what must hold is checked (see `FakeEngine`).
 */
import fc from "fast-check";
import { firstKeptBlock } from "../../src/kernels/kv-layout.js";
import type { TierIdentity } from "../../src/protocol/tier-messages.js";
import type { Faults } from "./faulty-store.js";
import { hostedTier, tokensOf } from "./hosted-tier.js";
import { IDENTITY, TIER_KEY } from "./tier-identity.js";

const identities: TierIdentity[] = [
  { ...IDENTITY, groups: [{ window: null, layers: [0] }] },
  IDENTITY,
  { ...IDENTITY, groups: [{ window: 40, layers: [0, 1, 2] }] },
  { ...IDENTITY, groups: [null, null, 17, 100].map((window, i) => ({ window, layers: [i] })) },
];

const rate = fc.constantFrom(0, 0, 0, 0.05, 0.3, 1);
const faults = fc.record({
  ...{ drop: rate, delay: rate, delayMs: fc.constantFrom(5, 300, 5000), hang: rate, fail: rate },
  ...{ throwAnything: rate, nonsense: rate, corrupt: rate, full: rate },
});
const actions: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("load" as const),
      text: fc.nat({ max: 2 }),
      count: fc.nat({ max: 200 }),
      part: fc.nat({ max: 99 }),
      deadlineMs: fc.constantFrom(0, 5, 100, 1000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("store" as const),
      text: fc.nat({ max: 2 }),
      count: fc.nat({ max: 200 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.constantFrom(1, 10, 300, 5000, 100_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("faults" as const), faults }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wipe" as const) }) },
);

type Action =
  | {
      readonly do: "load";
      readonly text: number;
      readonly count: number;
      readonly part: number;
      readonly deadlineMs: number;
    }
  | { readonly do: "store"; readonly text: number; readonly count: number }
  | { readonly do: "cancel"; readonly which: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "faults"; readonly faults: Faults }
  | { readonly do: "wipe" };

export interface TierScenario {
  readonly seed: number;
  readonly identity: TierIdentity;
  readonly faults: Faults;
  readonly actions: readonly Action[];
}

export const tierScenarios: fc.Arbitrary<TierScenario> = fc.record({
  seed: fc.nat(),
  identity: fc.constantFrom(...identities),
  faults,
  actions: fc.array(actions, { minLength: 3, maxLength: 30, size: "max" }),
});

/** What happened, so that a test can tell that its traffic is worth something. */
export interface TierTally {
  loads: number;
  hits: number;
  rejected: number;
  written: number;
  dropped: number;
  timeouts: number;
}

const newTierTally = (): TierTally => ({
  ...{ loads: 0, hits: 0, rejected: 0, written: 0, dropped: 0, timeouts: 0 },
});

/** Throws what is wrong. */
export async function runTierScenario(scenario: TierScenario, tally = newTierTally()): Promise<void> {
  const { seed, identity, faults, actions } = scenario;
  const { engine, clock, store, host, records } = await hostedTier({ seed, identity, faults });
  const stranger = await hostedTier({ seed, identity, clock, key: TIER_KEY.map((byte) => ~byte) });
  stranger.engine.store(tokensOf(0, 100));
  await clock.pass(10_000);
  store.foreign = [...stranger.records.records.values()];
  await stranger.host.close();
  for (const action of actions) {
    if (action.do === "wait") await clock.pass(action.ms);
    else if (action.do === "faults") store.faults = action.faults;
    else if (action.do === "wipe") records.records.clear();
    else if (action.do === "cancel") engine.cancel(action.which % (engine.loads.size + 1));
    else if (action.do === "store") engine.store(tokensOf(action.text, action.count));
    else {
      const { text, count, part, deadlineMs } = action;
      const from = Math.floor((part * (Math.floor(count / 16) + 1)) / 100);
      const localFrom = identity.groups.map(({ window }) => firstKeptBlock(window, from * 16));
      engine.load(tokensOf(text, count), { from, deadlineMs, localFrom });
    }
  }
  // Longer than anything is left alone or waited for; a record that takes two seconds to write is followed by 38 of rest.
  await clock.pass(400_000);
  await clock.until(() => engine.lent.size === 0, actions.length * 200 * 40_000);
  const { hits, rejected, loads, breaker, written, droppedWrites, timeouts } = host.stats();
  const numRejected = Object.values(rejected).reduce((sum, count) => sum + count);
  expectEqual(engine.numOpenLoads, 0, "loads that have not ended");
  expectEqual(engine.lent.size, 0, "buffers that have not come back");
  expectEqual(loads, engine.loads.size, "loads counted");
  expectEqual(numRejected, store.corrupted, "rejected records, of those that were damaged");
  if (Object.values(store.faults).every((each) => each === 0 || each === store.faults.delayMs)) {
    expectEqual(breaker, "closed", "the breaker of a store that works");
  }
  store.faults = {};
  const closed = host.close();
  await clock.pass(10_000);
  await closed;
  expectEqual(clock.numTimers, 0, "timers that are left");
  expectEqual(engine.wrong.join("; "), "", "what is wrong");
  tally.loads += loads;
  tally.hits += hits;
  tally.rejected += numRejected;
  tally.written += written;
  tally.dropped += droppedWrites;
  tally.timeouts += timeouts;
}

function expectEqual<T>(found: T, expected: T, what: string): void {
  if (found !== expected) throw new Error(`${what}: ${found}, not ${expected}`);
}
