/**
 * The engine's end of the way to a KV tier: a port, and the timer of the next deadline. What arrives is taken between two steps. Where the
 * other end is gone, or says what cannot be taken, the engine goes on without a tier.
 */
import type { Clock } from "../platform/clock.js";
import type { TierPolicy } from "../protocol/kv-tier.js";
import type { TierAnswer } from "../protocol/tier-messages.js";
import type { EngineCore } from "./engine-core.js";
import { connectTier, type EngineTier } from "./engine-tier.js";

export class TierLink {
  readonly #port: MessagePort;
  readonly #tier: EngineTier;
  /** Called when something may go on that could not. */
  readonly #wake: () => void;
  readonly #clock: Clock;
  #stopTimer: () => void = () => undefined;
  /** The deadline that the timer is for. */
  #armedFor: number | null = null;

  /** @param port taken over */
  constructor(core: EngineCore, port: MessagePort, policy: TierPolicy, clock: Clock, wake: () => void) {
    this.#port = port;
    this.#clock = clock;
    this.#wake = wake;
    this.#tier = connectTier(core, {
      policy,
      post: (ask, transfer) => port.postMessage(ask, transfer),
      now: () => clock.now(),
    });
    port.addEventListener("message", ({ data }) => this.#take(data));
    port.addEventListener("messageerror", () => this.close());
    // Node's, which browsers are about to have.
    port.addEventListener("close" as "message", () => this.close());
    port.start();
    // A program ends when its own work is done: while a load is under way, its timer keeps it alive.
    (port as { unref?: () => void }).unref?.();
  }

  /** Whether there are blocks to be offered. */
  get hasOffers(): boolean {
    return this.#tier.offers.hasMore;
  }

  /** Offers blocks for a moment: there is nothing to compute. */
  whileIdle(): void {
    this.#tier.offers.whileIdle();
  }

  /** Sees to it that the next deadline is kept. To be called after everything that may have begun a load. */
  arm(): void {
    const next = this.#tier.loads.nextDeadline;
    if (next === this.#armedFor) return;
    this.#stopTimer();
    this.#armedFor = next;
    if (next === null) return;
    this.#stopTimer = this.#clock.after(Math.max(0, next - this.#clock.now()), () => this.#expire());
  }

  /** Everything goes on without a tier. */
  close(): void {
    this.#port.close();
    this.#tier.lose();
    this.arm();
    this.#wake();
  }

  #take(answer: TierAnswer): void {
    const { numEnded } = this.#tier.loads;
    try {
      this.#tier.take(answer);
    } catch {
      this.close();
      return;
    }
    // A block more is no reason to plan anew, unless others have steps anyway.
    if (answer.type === "block" && this.#tier.loads.numEnded === numEnded) return;
    this.arm();
    this.#wake();
  }

  #expire(): void {
    this.#armedFor = null;
    this.#tier.loads.expire();
    // A timer may come a little too early.
    this.arm();
    this.#wake();
  }
}
