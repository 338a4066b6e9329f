/**
 * Tells when a model's KV tier is of no use, or of less, and when all is well again: for the log, and for whoever runs the server.
 * Asks the tier's own thread, which answers at once, whatever the store does. Owns the timer, from one engine to the next.
 */
import type { TierStats } from "../protocol/kv-tier.js";

/** Milliseconds between looks. */
const LOOK_MS = 1000;

/** What is the matter with a tier, in a sentence; null: nothing. */
export type TierProblem = string | null;

export class TierWatch {
  readonly #onChange: (problem: TierProblem) => void;
  #problem: TierProblem;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * @param onChange told when there is a problem, once, and when there is none any more
   * @param problem what is known already, and told now
   */
  constructor(onChange: (problem: TierProblem) => void, problem: TierProblem = null) {
    this.#onChange = onChange;
    this.#problem = problem;
    if (problem !== null) onChange(problem);
  }

  /** Looks at an engine's way to the tier from now on, and no more at the one before. */
  begin(stats: () => Promise<TierStats | null>): void {
    this.end();
    const look = async () => {
      const found = await stats().catch(() => null);
      if (found !== null && this.#timer === timer) this.#see(found);
    };
    const timer = setInterval(() => void look(), LOOK_MS);
    (timer as { unref?: () => void }).unref?.();
    this.#timer = timer;
    void look();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #see({ breaker, lost, problem }: TierStats): void {
    // While it is being tried it is as it was.
    if (lost === null && breaker === "half-open") return;
    const now = lost !== null ? `Its thread was lost: ${lost}.` : (problem ?? OPEN[breaker]);
    const hasChanged = (now === null) !== (this.#problem === null);
    this.#problem = now;
    if (hasChanged) this.#onChange(now);
  }
}

const OPEN = { closed: null, "half-open": null, open: "It does not answer, or too slowly." } as const;
