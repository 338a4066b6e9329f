/** A tier at work in a test's own thread: a fake engine, a store that fails as it is told to, and time that need not pass. */
import type { TierIdentity } from "../../src/protocol/tier-messages.js";
import { TierNamespace } from "../../src/tier/names.js";
import { TierHost } from "../../src/tier/tier-host.js";
import { seededRandom } from "../seeded-random.js";
import { FakeEngine } from "./fake-engine.js";
import { type Faults, FaultyStore } from "./faulty-store.js";
import { MemoryStore } from "./memory-store.js";
import { IDENTITY, TIER_KEY } from "./tier-identity.js";
import { VirtualClock } from "./virtual-clock.js";

export interface HostedOptions {
  readonly seed?: number;
  readonly identity?: TierIdentity;
  readonly key?: Uint8Array;
  readonly records?: MemoryStore;
  readonly clock?: VirtualClock;
  readonly faults?: Faults;
}

export async function hostedTier({
  seed = 1,
  identity = IDENTITY,
  key = TIER_KEY,
  records = new MemoryStore(),
  clock = new VirtualClock(),
  faults = {},
}: HostedOptions = {}) {
  const random = seededRandom(seed);
  const store = new FaultyStore(records, clock, random, faults);
  const engine = new FakeEngine(identity, clock);
  const namespace = new TierNamespace(key, identity);
  const host = new TierHost({ namespace, store, clock, random, port: engine.port });
  const begun = host.begin();
  await clock.until(() => engine.states.length > 0);
  await begun;
  return { clock, records, store, engine, namespace, host };
}

/** `count` tokens that begin as text `text` does. */
export function tokensOf(text: number, count: number): number[] {
  const random = seededRandom(text);
  return Array.from({ length: count }, () => Math.floor(random() * 1000));
}
