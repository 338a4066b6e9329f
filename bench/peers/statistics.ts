/** Medians of what the rounds measured, and the ratios between engines. */
import type { Dtype, EngineName } from "./engines/engine.js";
import type { MeasuredRun } from "./engines/engine-process.js";

/** A request's size. */
export interface Scenario {
  readonly promptTokens: number;
  readonly newTokens: number;
}

/** One request of one round. */
export interface Sample {
  readonly timeToFirstTokenMs: number;
  readonly prefillTokensPerSecond: number;
  /** Over all tokens but the first. */
  readonly decodeTokensPerSecond: number;
  readonly wholeRequestMs: number;
  /** Processor time of everything else on the machine, as a share of what the machine had meanwhile. */
  readonly otherLoad: number;
}

export type Figure = keyof Sample;

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface EngineResult {
  readonly engine: EngineName;
  readonly dtype: Dtype;
  readonly scenario: Scenario;
  readonly summary: Readonly<Record<Figure, Spread>>;
  readonly samples: readonly Sample[];
  /** Of the process, after all rounds: the same for all scenarios. */
  readonly peakRssBytes: number;
}

/** How many times better lastrow is than a peer, from medians: above 1 it is ahead. */
export interface Ratios {
  readonly peer: EngineName;
  readonly dtype: Dtype;
  readonly scenario: Scenario;
  readonly timeToFirstToken: number;
  readonly prefill: number;
  readonly decode: number;
  readonly wholeRequest: number;
  readonly peakMemory: number;
}

export function toSample(
  { promptTokens, newTokens }: Scenario,
  measured: MeasuredRun,
  otherLoad: number,
): Sample {
  const { firstMs, lastMs, totalMs } = measured.run;
  return {
    timeToFirstTokenMs: firstMs,
    prefillTokensPerSecond: (1000 * promptTokens) / firstMs,
    decodeTokensPerSecond: (1000 * (newTokens - 1)) / (lastMs - firstMs),
    wholeRequestMs: totalMs,
    otherLoad,
  };
}

export function summarise(samples: readonly Sample[]): Record<Figure, Spread> {
  const spread = (figure: Figure) => spreadOf(samples.map((sample) => sample[figure]));
  return {
    timeToFirstTokenMs: spread("timeToFirstTokenMs"),
    prefillTokensPerSecond: spread("prefillTokensPerSecond"),
    decodeTokensPerSecond: spread("decodeTokensPerSecond"),
    wholeRequestMs: spread("wholeRequestMs"),
    otherLoad: spread("otherLoad"),
  };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** lastrow against each peer of the same type and scenario. */
export function compareWithPeers(results: readonly EngineResult[]): Ratios[] {
  return results.flatMap((ours) => {
    if (ours.engine !== "lastrow") return [];
    const { dtype, scenario } = ours;
    return results
      .filter((peer) => peer.engine !== "lastrow" && peer.dtype === dtype && peer.scenario === scenario)
      .map((peer) => {
        const faster = (rate: Figure) => ours.summary[rate].median / peer.summary[rate].median;
        const shorter = (time: Figure) => peer.summary[time].median / ours.summary[time].median;
        return {
          peer: peer.engine,
          dtype,
          scenario,
          timeToFirstToken: shorter("timeToFirstTokenMs"),
          prefill: faster("prefillTokensPerSecond"),
          decode: faster("decodeTokensPerSecond"),
          wholeRequest: shorter("wholeRequestMs"),
          peakMemory: peer.peakRssBytes / ours.peakRssBytes,
        };
      });
  });
}
