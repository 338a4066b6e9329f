/** `lastrow bench`: how fast a model prefills and decodes here, and how near that is to the machine's limits. */
import { PRODUCT_RATE } from "../../bench/limits.js";
import { benchModel, type ModelBenchResult } from "../../bench/model-bench.js";
import type { Spread } from "../../bench/spread.js";
import type { ModelInfo } from "../../library/model-info.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable } from "../../printable.js";
import { formatCount, formatDuration, machineWords } from "../format.js";
import { toJson } from "../json.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions } from "../options.js";
import { bar } from "../progress.js";
import { turnedTable } from "../table.js";
import { type Colours, coloursFor, type Io, lineRoomOf, wrapText, write } from "../terminal.js";

export interface BenchCommandOptions extends EngineOptions, OutputOptions {
  readonly promptTokens?: number | undefined;
  readonly newTokens?: number | undefined;
  readonly repetitions?: number | undefined;
}

export const DEFAULT_PROMPT_TOKENS = 512;
export const DEFAULT_NEW_TOKENS = 64;
export const DEFAULT_REPETITIONS = 5;

interface BenchReport extends ModelBenchResult {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly repetitions: number;
  readonly loadMs: number;
}

/** @returns the exit code */
export async function bench(options: BenchCommandOptions, io: Io): Promise<number> {
  const start = performance.now();
  await using model = await loadModel(options, io);
  const loadMs = performance.now() - start;
  const { info } = model;
  const newTokens = options.newTokens ?? DEFAULT_NEW_TOKENS;
  // The default prompt is shortened to fit a short context.
  const fitting = Math.max(1, info.config.contextLength - newTokens);
  const promptTokens = options.promptTokens ?? Math.min(DEFAULT_PROMPT_TOKENS, fitting);
  const repetitions = options.repetitions ?? DEFAULT_REPETITIONS;
  const progress = bar(io, "measuring", "tokens");
  let result: ModelBenchResult;
  try {
    result = await benchModel(model, {
      promptTokens,
      newTokens,
      repetitions,
      peakRss: () => process.resourceUsage().maxRSS * 1024,
      onProgress: progress.update,
      signal: io.signal,
    });
  } finally {
    progress.stop();
  }
  const report = { ...result, promptTokens, newTokens, repetitions, loadMs };
  await write(
    io,
    options.json === true
      ? `${toJson(reportObject(info, report))}\n`
      : renderReport(info, report, { colours: coloursFor(io.stdout, io.env), width: lineRoomOf(io.stdout) }),
  );
  return 0;
}

/** What `--json` prints. */
function reportObject({ label, dtype, threads, vectors, dots }: ModelInfo, report: BenchReport) {
  const { promptTokens, newTokens, loadMs, peakRssBytes, limits, share } = report;
  return {
    model: label,
    dtype,
    ...{ threads, vectors, dots },
    promptTokens,
    newTokens,
    prefillTokensPerSecond: { ...report.prefillTokensPerSecond },
    decodeTokensPerSecond: { ...report.decodeTokensPerSecond },
    loadMs,
    peakRssBytes,
    limits: { ...limits },
    share: { ...share },
  };
}

function renderReport(
  info: ModelInfo,
  report: BenchReport,
  { colours, width }: { readonly colours: Colours; readonly width: number },
): string {
  const { limits, share, promptTokens, newTokens, repetitions } = report;
  const { limit, unit } = PRODUCT_RATE[info.dtype];
  const productLimit = `${rate(limits[limit])} ${unit}`;
  const content = {
    head: ["", "median\ntokens/s", "min", "max", "of the\nlimit", "which is\nhere"],
    rows: [
      figure("prefill", report.prefillTokensPerSecond, share.prefill, productLimit),
      figure("decode", report.decodeTokensPerSecond, share.decode, `${rate(limits.readGBs)} GB/s read`),
    ],
    rightAligned: [1, 2, 3, 4],
  };
  const facts = [
    `${printable(info.label)} · ${info.dtype} weights · ${info.kernels} kernels · ${machineWords(info)}`,
    `prompt of ${formatCount(promptTokens)} tokens, ${formatCount(newTokens)} new · ${repetitions} ${repetitions === 1 ? "repetition" : "repetitions"} after one to warm up`,
    `loaded in ${formatDuration(report.loadMs)} · ${formatMemorySize(report.peakRssBytes)} at most`,
  ];
  const told = facts.map((fact) => wrapText(fact, width).split("\n").map(colours.dim).join("\n"));
  return `${turnedTable(colours, content, width)}\n\n${told.join("\n")}\n`;
}

function figure(name: string, { median, min, max }: Spread, share: number, limit: string): string[] {
  return [name, rate(median), rate(min), rate(max), `${(100 * share).toFixed(0)} %`, limit];
}

/** Three significant digits or whole numbers. */
function rate(value: number): string {
  if (value >= 99.95) return formatCount(Math.round(value));
  return value.toFixed(value >= 9.995 ? 1 : 2);
}
