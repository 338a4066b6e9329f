/**
 * The engine's side of a KV tier: what is loaded, and what is offered. Knows nothing of ports, threads or timers; it posts what it
 * asks, is told what is answered, and says when it has to be asked again. The engine's thread does no I/O for it and no
 * cryptography: it copies bytes.
 */
import type { Kernels } from "../kernels/kernels.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { EngineStats } from "../protocol/engine-stats.js";
import type { TierPolicy } from "../protocol/kv-tier.js";
import type { TierAnswer, TierAsk } from "../protocol/tier-messages.js";
import { PrefillRate } from "./prefill-rate.js";
import type { ScheduledSequence } from "./scheduled-sequence.js";
import { TierLoads } from "./tier-loads.js";
import { TierOffers } from "./tier-offers.js";

export interface EngineTierOptions {
  readonly policy: TierPolicy;
  /** Takes what is asked; buffers may be gone afterwards. */
  readonly post: (ask: TierAsk, transfer: ArrayBuffer[]) => void;
  /** In milliseconds, never backwards. */
  readonly now: () => number;
}

/** Gives an engine its KV tier. */
export function connectTier(
  core: { readonly kvCache: KvCache; readonly kernels: Pick<Kernels, "u8">; tier: EngineTier | null },
  options: EngineTierOptions,
): EngineTier {
  const tier = new EngineTier(core.kvCache, core.kernels, options);
  core.tier = tier;
  return tier;
}

export class EngineTier {
  readonly loads: TierLoads;
  readonly offers: TierOffers;
  readonly #prefill = new PrefillRate();
  #isLost = false;

  constructor(kvCache: KvCache, kernels: Pick<Kernels, "u8">, { policy, post, now }: EngineTierOptions) {
    const { offset, blockBytes } = kvCache.layout;
    const bytesOf = (block: number) => kernels.u8(offset + block * blockBytes, blockBytes);
    const safely = (ask: TierAsk, transfer: ArrayBuffer[] = []) => {
      if (!this.#isLost) post(ask, transfer);
    };
    this.offers = new TierOffers({ kvCache, bytesOf, post: safely, policy, now });
    this.loads = new TierLoads({
      ...{ kvCache, now, post: safely, deadlineMs: policy.deadlineMs },
      write: (block, bytes) => bytesOf(block).set(bytes),
      computeMs: (rows) => this.#prefill.msOf(rows),
      onLoaded: (block) => this.offers.know(block),
    });
  }

  get stats(): NonNullable<EngineStats["tier"]> {
    return { ...this.loads.stats, ...this.offers.stats };
  }

  take(answer: TierAnswer): void {
    if (this.#isLost) return;
    switch (answer.type) {
      case "block":
        this.loads.takeBlock(answer);
        return;
      case "loaded":
        this.loads.takeEnd(answer.id);
        return;
      case "stored":
        this.offers.takeBack(answer.buffers);
        return;
      case "state":
        this.loads.setState(answer);
        this.offers.setTaking(answer.takesStores);
    }
  }

  /** Blocks `from … to − 1` of a sequence are full now. */
  computed(sequence: ScheduledSequence, from: number, to: number): void {
    if (to > from) this.offers.computed(sequence, from, to);
  }

  /** A sequence was admitted, and has taken what was there. */
  admitted(sequence: ScheduledSequence): void {
    this.loads.letGo(sequence);
    this.offers.taken(sequence);
  }

  /** A step has been computed. */
  afterStep(rows: number, forwardMs: number, stepMs: number): void {
    this.#prefill.observe(rows, forwardMs);
    this.offers.afterStep(stepMs);
  }

  /** The tier does not answer any more: everything goes on without it. */
  lose(): void {
    this.#isLost = true;
    this.loads.lose();
    this.offers.lose();
  }
}
