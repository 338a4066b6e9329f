/**
 * What the KV tier of each model does, as Prometheus' metrics: read at each scrape, and going on when an engine, and with it its
 * way to the tier, is replaced. They are there only where the server has a tier.
 */
import { Counter, Gauge, type Histogram, type Registry } from "prom-client";
import type { EngineStats } from "../protocol/engine-stats.js";
import type { TierStats } from "../protocol/kv-tier.js";

/** What an engine asked of its tier. */
type Asked = NonNullable<EngineStats["tier"]>;

/** Counters of `TierStats` that become Prometheus' counters. */
const COUNTED = {
  hits: ["hits", "Records that were read from the tier, and verified."],
  misses: ["misses", "Records that were asked for and not there."],
  loads: ["loads", "Loads: times that blocks of a prompt were asked for."],
  timeouts: ["timeouts", "Loads that ended at their deadline; what they had brought was used."],
  bytesRead: ["bytes_read", "Bytes of records that were read."],
  bytesWritten: ["bytes_written", "Bytes of records that were written."],
  written: ["writes", "Records that were written."],
  skippedWrites: ["skipped_writes", "Records that were not written since they are there."],
  droppedWrites: [
    "dropped_writes",
    "Records that were not written: too many at once, or the tier took none.",
  ],
} as const satisfies Partial<Record<keyof TierStats, readonly [string, string]>>;

/** The same of what engines asked, two of them under vLLM's names. */
const ASKED = {
  tokensAsked: ["vllm:external_prefix_cache_queries_total", "Tokens of prompts that the tier was asked for."],
  tokensLoaded: ["vllm:external_prefix_cache_hits_total", "Tokens whose K and V came from it."],
  declined: ["lastrow_tier_declined_total", "Times that computing was expected to be faster than loading."],
} as const satisfies Partial<Record<keyof Asked, readonly [string, string]>>;

const BREAKER = { closed: 0, "half-open": 1, open: 2 } as const satisfies Record<
  TierStats["breaker"],
  number
>;

export class TierMetrics {
  readonly #counters: ReadonlyMap<keyof typeof COUNTED, Counter<"model_name">>;
  readonly #asked: ReadonlyMap<keyof typeof ASKED, Counter<"model_name">>;
  readonly #rejected: Counter<"model_name" | "reason">;
  readonly #breaker: Gauge<"model_name">;
  readonly #seconds: ReadHistogram;
  /** By model: what its connection had counted when it was read last. */
  readonly #seen = new Map<string, TierStats>();
  readonly #seenAsked = new Map<string, Asked>();

  constructor(registry: Registry) {
    const registers = [registry];
    const labelNames = ["model_name"] as const;
    this.#counters = new Map(
      (Object.keys(COUNTED) as (keyof typeof COUNTED)[]).map((key) => {
        const [name, help] = COUNTED[key];
        return [key, new Counter({ name: `lastrow_tier_${name}_total`, help, labelNames, registers })];
      }),
    );
    this.#asked = new Map(
      (Object.keys(ASKED) as (keyof typeof ASKED)[]).map((key) => {
        const [name, help] = ASKED[key];
        return [key, new Counter({ name, help, labelNames, registers })];
      }),
    );
    this.#rejected = new Counter({
      name: "lastrow_tier_rejected_total",
      help: "Records that were read and not taken, by what was wrong with them: damage, or a change from outside.",
      labelNames: ["model_name", "reason"],
      registers,
    });
    this.#breaker = new Gauge({
      name: "lastrow_tier_breaker_state",
      help: "Whether the tier is asked: 0, it is; 1, it is being tried; 2, not now, since it could not be reached or was too slow.",
      labelNames,
      registers,
    });
    this.#seconds = new ReadHistogram(registry);
  }

  /**
   * @param stats null: the model is not loaded, or its engine is being replaced
   * @param asked the engine's own, as `stats`
   */
  read(id: string, stats: TierStats | null, asked: Asked | null): void {
    if (asked !== null) this.#readAsked(id, asked);
    if (stats === null) return;
    const label = { model_name: id };
    const last = this.#seen.get(id);
    // What has counted less than before began anew.
    const before = last !== undefined && isAfter(stats, last) ? last : null;
    this.#seen.set(id, stats);
    for (const [key, counter] of this.#counters) counter.inc(label, stats[key] - (before?.[key] ?? 0));
    for (const [reason, count] of Object.entries(stats.rejected)) {
      const known = before?.rejected[reason as keyof TierStats["rejected"]] ?? 0;
      this.#rejected.inc({ ...label, reason }, count - known);
    }
    this.#seconds.add(id, stats.loadSeconds, before?.loadSeconds ?? null);
    // A thread that is lost asks nothing either.
    this.#breaker.set(label, stats.lost === null ? BREAKER[stats.breaker] : BREAKER.open);
  }

  /** Its next counters begin at 0 again. */
  beginsAnew(id: string): void {
    this.#seen.delete(id);
    this.#seenAsked.delete(id);
  }

  #readAsked(id: string, asked: Asked): void {
    const before = this.#seenAsked.get(id);
    this.#seenAsked.set(id, asked);
    for (const [key, counter] of this.#asked)
      counter.inc({ model_name: id }, Math.max(0, asked[key] - (before?.[key] ?? 0)));
  }
}

function isAfter(stats: TierStats, last: TierStats): boolean {
  return (
    (Object.keys(COUNTED) as (keyof typeof COUNTED)[]).every((key) => stats[key] >= last[key]) &&
    stats.loadSeconds.count >= last.loadSeconds.count
  );
}

type Seconds = TierStats["loadSeconds"];

interface Totals {
  readonly buckets: readonly number[];
  /** Of each bucket alone. */
  readonly counts: number[];
  sum: number;
  count: number;
}

/** A histogram of what the tier's thread has observed: only its counts are known here, so prom-client's own cannot hold it. */
class ReadHistogram {
  readonly name = "lastrow_tier_load_seconds";
  readonly #totals = new Map<string, Totals>();

  constructor(registry: Registry) {
    // Of a metric a registry asks for its name, and for this.
    registry.registerMetric(this as unknown as Histogram);
  }

  add(id: string, { buckets, counts, sum, count }: Seconds, before: Seconds | null): void {
    const totals = this.#totals.get(id) ?? { buckets, counts: buckets.map(() => 0), sum: 0, count: 0 };
    this.#totals.set(id, totals);
    for (const [i, more] of counts.entries()) totals.counts[i] += more - (before?.counts[i] ?? 0);
    totals.sum += sum - (before?.sum ?? 0);
    totals.count += count - (before?.count ?? 0);
  }

  get() {
    return {
      name: this.name,
      help: "What loads took, from when they were asked for to their last block or their deadline.",
      type: "histogram",
      values: [...this.#totals].flatMap(([model_name, totals]) => this.#lines({ model_name }, totals)),
    };
  }

  #lines(labels: { readonly model_name: string }, { buckets, counts, sum, count }: Totals) {
    let below = 0;
    const bucket = (le: string, value: number) => ({
      metricName: `${this.name}_bucket`,
      labels: { le, ...labels },
      value,
    });
    return [
      ...buckets.map((most, i) => {
        below += counts[i];
        return bucket(String(most), below);
      }),
      bucket("+Inf", count),
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
