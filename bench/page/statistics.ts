/** Of all page loads: which count, their medians, and lastrow's ratios to its peers. */
import type { BrowserName } from "./browsers.js";
import type { EngineName, PageReport, RequestSize } from "./page-report.js";
import type { Fetched } from "./page-server.js";

/** What runs in a page. */
export interface Configuration {
  readonly engine: EngineName;
  readonly type: string;
  readonly variant: string;
  /** One: in a page without isolation. */
  readonly threads: number;
}

/** One page load that reported. */
export interface PageLoad {
  readonly browser: BrowserName;
  readonly configuration: Configuration;
  readonly round: number;
  readonly sizes: readonly RequestSize[];
  /** Of the machine's time, what went to other work than the browser's and ours: 0 to 1. */
  readonly otherLoad: number;
  readonly pagePeakBytes: number;
  readonly residentBytes: number;
  readonly fetched: Fetched;
  readonly report: PageReport;
}

export interface RequestFigures {
  /** Tokens a second. */
  readonly prefill: number;
  /** Tokens a second, of all that came after the first report. */
  readonly decode: number;
  readonly wholeMs: number;
}

export interface Row {
  readonly browser: BrowserName;
  readonly configuration: Configuration;
  /** Page loads that the medians are of. */
  readonly loads: number;
  /** The largest of these loads. */
  readonly otherLoad: number;
  readonly loadMs: number;
  readonly pagePeakBytes: number;
  readonly fetched: Fetched;
  /** In the order of the sizes asked for. */
  readonly requests: readonly RequestFigures[];
}

/** How many times as good lastrow is as a peer: above 1 it is ahead. */
export interface Ratio {
  readonly ours: Configuration;
  readonly peer: Configuration;
  readonly browser: BrowserName;
  readonly load: number;
  readonly memory: number;
  readonly code: number;
  readonly requests: readonly RequestFigures[];
}

export function nameOf({ engine, type, variant, threads }: Configuration): string {
  return [engine, type, threads, ...(variant === "" ? [] : [variant])].join(":");
}

export function requestFigures(load: PageLoad): RequestFigures[] {
  return load.sizes.map(({ promptTokens }, i) => {
    const { firstMs, lastMs, totalMs, newTokens, firstTokens } = load.report.requests[i]!;
    return {
      prefill: (1000 * promptTokens) / firstMs,
      decode: (1000 * (newTokens - firstTokens)) / (lastMs - firstMs),
      wholeMs: totalMs,
    };
  });
}

/**
 * Of each round the attempt that others disturbed least, and of these the ones within `quiet`; where no round has one, all,
 * whose load then says that the figures are doubtful.
 */
export function countedLoads(loads: readonly PageLoad[], quiet: number): PageLoad[] {
  const rounds = new Map<number, PageLoad>();
  for (const load of loads) {
    const best = rounds.get(load.round);
    if (best === undefined || load.otherLoad < best.otherLoad) rounds.set(load.round, load);
  }
  const best = [...rounds.values()];
  const undisturbed = best.filter(({ otherLoad }) => otherLoad <= quiet);
  return undisturbed.length === 0 ? best : undisturbed;
}

/** A row for each browser and configuration, in the order in which they first appear. */
export function summarise(loads: readonly PageLoad[], quiet: number): Row[] {
  const groups = new Map<string, PageLoad[]>();
  for (const load of loads) {
    const key = `${load.browser} ${nameOf(load.configuration)}`;
    groups.set(key, [...(groups.get(key) ?? []), load]);
  }
  return [...groups.values()].map((group) => {
    const counted = countedLoads(group, quiet);
    const { browser, configuration, fetched, sizes } = counted[0]!;
    const figures = counted.map(requestFigures);
    return {
      ...{ browser, configuration, fetched },
      loads: counted.length,
      otherLoad: Math.max(...counted.map(({ otherLoad }) => otherLoad)),
      loadMs: median(counted.map(({ report }) => report.loadMs)),
      pagePeakBytes: median(counted.map(({ pagePeakBytes }) => pagePeakBytes)),
      requests: sizes.map((_, i) => ({
        prefill: median(figures.map((of) => of[i]!.prefill)),
        decode: median(figures.map((of) => of[i]!.decode)),
        wholeMs: median(figures.map((of) => of[i]!.wholeMs)),
      })),
    };
  });
}

/** Each of lastrow's rows against every peer's of the same browser, threads and width of weights: f32 or 8 bits. */
export function compareWithPeers(rows: readonly Row[]): Ratio[] {
  const isComparable = (ours: Row, peer: Row) =>
    peer.configuration.engine !== "lastrow" &&
    peer.browser === ours.browser &&
    peer.configuration.threads === ours.configuration.threads &&
    (peer.configuration.type === "f32") === (ours.configuration.type === "f32");
  return rows
    .filter(({ configuration }) => configuration.engine === "lastrow")
    .flatMap((ours) =>
      rows
        .filter((peer) => isComparable(ours, peer))
        .map((peer) => ({
          ...{ browser: ours.browser, ours: ours.configuration, peer: peer.configuration },
          load: peer.loadMs / ours.loadMs,
          memory: peer.pagePeakBytes / ours.pagePeakBytes,
          code: peer.fetched.codeGzipBytes / ours.fetched.codeGzipBytes,
          requests: ours.requests.map(({ prefill, decode, wholeMs }, i) => ({
            prefill: prefill / peer.requests[i]!.prefill,
            decode: decode / peer.requests[i]!.decode,
            wholeMs: peer.requests[i]!.wholeMs / wholeMs,
          })),
        })),
    );
}

/** @throws when there is no value */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("The median of no values.");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
