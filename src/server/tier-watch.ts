/**
 * Tells when a model's KV tier cannot be reached, and when it can again: for the log, and for whoever runs the server. Asks the
 * tier's own thread, which answers at once, whatever the store does. Owns the timer, from one change of engine to the next.
 */
import type { LanguageModel } from "../library/language-model.js";
import type { TierStats } from "../protocol/kv-tier.js";

/** Counters of a model's tier; null where it has none. */
export function tierStatsOf(model: LanguageModel): Promise<TierStats | null> {
  return (model as { tierStats?: () => Promise<TierStats | null> }).tierStats?.() ?? Promise.resolve(null);
}

/**
 * How a tier is: `reached`; `unreachable`, which it is while it is too slow, too; `lost`: its own thread has failed, and is
 * there again when the engine is loaded again. Prompts are computed meanwhile.
 */
export type TierState = "reached" | "unreachable" | "lost";

/** Milliseconds between looks. */
const LOOK_MS = 1000;

export class TierWatch {
  readonly #onChange: (state: TierState) => void;
  #state: TierState | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param onChange told of the first state that is known, if it is not `reached`, and of each change */
  constructor(onChange: (state: TierState) => void) {
    this.#onChange = onChange;
  }

  /** Looks at an engine's way to the tier from now on, and no more at the one before. */
  begin(stats: () => Promise<TierStats | null>): void {
    this.end();
    const timer = setInterval(() => void look(), LOOK_MS);
    this.#timer = timer;
    (timer as { unref?: () => void }).unref?.();
    const look = async () => {
      const found = await stats().catch(() => null);
      if (found !== null && this.#timer === timer) this.#see(found);
    };
    void look();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #see({ breaker, lost }: TierStats): void {
    const state = lost !== null ? "lost" : STATES[breaker];
    // While it is being tried it is as it was.
    if (state === null || state === this.#state) return;
    const isFirst = this.#state === null;
    this.#state = state;
    if (!isFirst || state !== "reached") this.#onChange(state);
  }
}

const STATES = { closed: "reached", open: "unreachable", "half-open": null } as const;
