/** What a tier has done since an engine was connected to it. The parts of the tier count; nothing is ever taken back. */
import type { RejectReason, TierStats } from "../protocol/kv-tier.js";

/** Seconds: a load of a few blocks over loopback takes milliseconds, one over a slow link some hundred. */
const LOAD_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export class TierCounters {
  hits = 0;
  misses = 0;
  readonly rejected: Record<RejectReason, number> = {
    length: 0,
    format: 0,
    namespace: 0,
    authentication: 0,
    position: 0,
    tokens: 0,
  };
  loads = 0;
  timeouts = 0;
  bytesRead = 0;
  bytesWritten = 0;
  written = 0;
  skippedWrites = 0;
  droppedWrites = 0;
  readonly #loadCounts = LOAD_BUCKETS.map(() => 0);
  #loadSum = 0;
  #loadCount = 0;

  /** A load has ended after so many seconds. */
  loadTook(seconds: number): void {
    const bucket = LOAD_BUCKETS.findIndex((most) => seconds <= most);
    if (bucket >= 0) this.#loadCounts[bucket] += 1;
    this.#loadSum += seconds;
    this.#loadCount += 1;
  }

  /** A copy, as plain data. */
  told(): Omit<TierStats, "breaker" | "lost" | "problem"> {
    const { hits, misses, loads, timeouts, bytesRead, bytesWritten, written, skippedWrites, droppedWrites } =
      this;
    return {
      ...{ hits, misses, loads, timeouts, bytesRead, bytesWritten, written, skippedWrites, droppedWrites },
      rejected: { ...this.rejected },
      loadSeconds: {
        buckets: LOAD_BUCKETS,
        counts: [...this.#loadCounts],
        sum: this.#loadSum,
        count: this.#loadCount,
      },
    };
  }
}
