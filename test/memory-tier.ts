/** A KV tier for tests, in this thread: engines that are connected to it share what they offer, and each ask is noted. */
import { MessageChannel } from "node:worker_threads";
import type { KvTier, TierConnection, TierPolicy, TierStats } from "../src/protocol/kv-tier.js";
import type { TierAnswer, TierAsk, TierIdentity } from "../src/protocol/tier-messages.js";
import { FakeStore, findIn } from "./engine/fake-tier.js";

/** An engine that is connected. */
export interface Connected {
  readonly identity: TierIdentity;
  readonly asks: TierAsk[];
  isClosed: boolean;
  say(answer: TierAnswer): void;
  /** As the end of the tier's thread does. */
  die(): void;
}

const NO_STATS: TierStats = {
  ...{ hits: 0, misses: 0, loads: 0, timeouts: 0, bytesRead: 0, bytesWritten: 0 },
  ...{ written: 0, skippedWrites: 0, droppedWrites: 0, breaker: "closed", lost: null, problem: null },
  rejected: { length: 0, format: 0, namespace: 0, authentication: 0, position: 0, tokens: 0 },
  loadSeconds: { buckets: [], counts: [], sum: 0, count: 0 },
};

export class MemoryTier implements KvTier {
  readonly store = new FakeStore();
  readonly connected: Connected[] = [];
  /** Whether loads are answered. */
  answers = true;
  readonly #policy: TierPolicy;

  constructor(policy: Partial<TierPolicy> = {}) {
    this.#policy = { write: "first", deadlineMs: 60_000, ...policy };
  }

  async check(): Promise<string | null> {
    return null;
  }

  tenantSalt(name: string): string {
    return name;
  }

  async connect(identity: TierIdentity): Promise<TierConnection> {
    const { port1, port2 } = new MessageChannel();
    const connected: Connected = {
      ...{ identity, asks: [], isClosed: false },
      say: (answer) => port1.postMessage(answer),
      die: () => port1.close(),
    };
    this.connected.push(connected);
    port1.on("message", (ask: TierAsk) => {
      connected.asks.push(ask);
      this.#take(connected, ask);
    });
    port1.unref();
    connected.say({
      type: "state",
      takesLoads: true,
      takesStores: true,
      bytesPerMs: null,
      roundTripMs: null,
    });
    return {
      port: port2 as unknown as MessagePort,
      policy: this.#policy,
      stats: async () => ({
        ...NO_STATS,
        loads: connected.asks.filter(({ type }) => type === "load").length,
      }),
      close: async () => {
        connected.isClosed = true;
        port1.close();
      },
    };
  }

  #take({ identity, say }: Connected, ask: TierAsk): void {
    if (ask.type === "store") {
      this.store.put(ask);
      say({ type: "stored", buffers: ask.blocks.map(({ bytes }) => bytes.buffer) });
    } else if (ask.type === "load" && this.answers) {
      const windows = identity.groups.map(({ window }) => window);
      const { length, blocks } = findIn(this.store, windows, ask);
      for (const block of blocks) say({ type: "block", id: ask.id, ...block });
      say({ type: "loaded", id: ask.id, length });
    }
  }
}
