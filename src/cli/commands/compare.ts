/** `lastrow compare`: generates with the KV cache and by recomputing everything, and compares every logit's bits. */
import { dirname } from "node:path";
import type { ComparedRun, ComparisonReport, Difference } from "../../client/comparison.js";
import { comparisonPlot } from "../../explain/figures/comparison-plot.js";
import type { Scene } from "../../explain/scene.js";
import { DEFAULT_COMPARED_TOKENS } from "../../library/generate-options.js";
import type { ModelInfo } from "../../library/model-info.js";
import { printable } from "../../printable.js";
import { reportError, requestedStop } from "../exit.js";
import { formatCount, formatDuration } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import {
  type EngineOptions,
  type OutputOptions,
  type PromptOptions,
  type SamplingOptions,
  samplingFor,
} from "../options.js";
import { bar, spinner } from "../progress.js";
import { choosePrompt } from "../prompt.js";
import { ShownPieces } from "../streamed-text.js";
import { expectFolder, writeSvg } from "../svg-file.js";
import { turnedTable } from "../table.js";
import {
  type Colours,
  coloursFor,
  columnsOf,
  type Io,
  joinedLines,
  lineRoomOf,
  storyWrap,
  textFor,
  wrapText,
  write,
} from "../terminal.js";

export interface CompareCommandOptions extends EngineOptions, PromptOptions, SamplingOptions, OutputOptions {
  readonly plot?: string | undefined;
}

export const DEFAULT_PROMPT = "Once upon a time";

/** @returns the exit code: 1 on a difference */
export async function compare(
  argument: string | undefined,
  options: CompareCommandOptions,
  io: Io,
): Promise<number> {
  const sampling = samplingFor(options);
  const { plot } = options;
  if (plot !== undefined) await expectFolder(dirname(plot), "The plot", { makes: true });
  const prompt = await choosePrompt(argument, options, { text: DEFAULT_PROMPT }, io);
  await using model = await loadModel(options, io);
  const json = options.json === true;
  const colours = coloursFor(io.stdout, io.env);
  const pieces = new ShownPieces(model);
  // A pipe gets the story as it is; on a screen its words stay whole.
  const wrap = storyWrap(io.stdout);
  const show = (text: string, style?: (text: string) => string) => {
    if (!json) io.stdout.write(wrap === null ? text : wrap.push(textFor(io, text), style));
  };

  let isTelling = false;
  const endStory = () => {
    if (isTelling && !json) io.stdout.write(`${wrap?.flush() ?? ""}\n`);
    isTelling = false;
  };
  let stopWaiting = json ? () => undefined : spinner(io, "reading the prompt");
  let progress = json ? bar(io, "with the KV cache", "steps") : null;
  let steps = 0;
  let hasBegun = false;
  const report = await model
    .compare(prompt, {
      ...sampling,
      parseSpecial: options.parseSpecial,
      signal: io.signal,
      onPiece(piece) {
        stopWaiting();
        stopWaiting = () => undefined;
        if (!hasBegun) {
          hasBegun = true;
          isTelling = true;
          show(pieces.prompt(prompt), colours.bold);
        }
        show(pieces.show(piece));
        steps += 1;
        progress?.update(steps, Math.max(steps, options.maxTokens ?? DEFAULT_COMPARED_TOKENS));
      },
      onRecomputed(done, of) {
        if (done === 0) {
          stopWaiting();
          endStory();
          progress?.stop();
          progress = bar(io, "recomputing", "steps");
        }
        progress?.update(done, of);
      },
    })
    .finally(() => {
      stopWaiting();
      progress?.stop();
      endStory();
    });
  if (requestedStop(io.signal) !== null) return 1;
  if (plot !== undefined) await writeSvg(plot, plotOf(report, model.info));
  if (json) await write(io, `${toJson(reportObject(report))}\n`);
  else await write(io, `\n${renderReport(report, model.info, io)}`);
  if (plot !== undefined && !json) await write(io, colours.dim(`\nplot in ${printable(plot)}\n`));
  const complaint = complaintOf(report);
  if (complaint === null) return 0;
  reportError(io, complaint);
  return 1;
}

/** What `--json` prints. */
function reportObject(report: ComparisonReport): Json {
  const { identical, steps, firstDifference, text, formula } = report;
  const run = ({ inferences, rowsComputed, ms, firstStepMs, lastStepMs }: ComparedRun): Json => ({
    inferences,
    rowsComputed,
    ms,
    firstStepMs,
    lastStepMs,
  });
  return {
    identical,
    steps,
    firstDifference: firstDifference === null ? null : { ...firstDifference },
    text,
    cached: run(report.cached),
    recompute: run(report.recompute),
    formula: { cached: formula.cached, recompute: formula.recompute },
  };
}

/** The table, the verdict, and what was compared. */
function renderReport(
  report: ComparisonReport,
  info: ModelInfo,
  { stdout, env }: Pick<Io, "stdout" | "env">,
): string {
  const colours = coloursFor(stdout, env);
  const room = lineRoomOf(stdout);
  const { cached, recompute, formula, steps } = report;
  const row = (name: string, run: ComparedRun, expected: number) => {
    const mark = run.rowsComputed === expected ? String : colours.red;
    return [
      colours.bold(name),
      formatCount(run.inferences),
      mark(formatCount(run.rowsComputed)),
      mark(formatCount(expected)),
      formatDuration(run.ms),
      formatDuration(run.firstStepMs),
      formatDuration(run.lastStepMs),
    ];
  };
  const content = {
    head: ["", "inferences", "rows through\nthe model", "by formula", "time", "first step", "last step"],
    rows: [row("cached", cached, formula.cached), row("recompute", recompute, formula.recompute)],
    rightAligned: [1, 2, 3, 4, 5, 6],
  };
  const lines = (sentences: readonly string[]) => sentences.map((sentence) => wrapText(sentence, room));
  const compared = [
    ...whatRan(report, info),
    `vocabulary of ${formatCount(info.config.vocabSize)}`,
    `${formatCount(steps * info.config.vocabSize)} logits compared`,
    `seed ${report.seed}`,
  ];
  return [
    turnedTable(colours, content, room),
    "",
    ...lines(formulaLines(report)),
    "",
    ...lines([...gainLine(report, colours), verdictLine(report, colours)]),
    ...joinedLines(compared.map(printable), columnsOf(stdout)).map(colours.dim),
    "",
  ].join("\n");
}

/** The model and how it ran. */
function whatRan({ promptTokens }: ComparisonReport, info: ModelInfo): string[] {
  return [
    info.label,
    `${info.dtype} weights`,
    `${info.kernels} kernels`,
    `${info.threads} ${info.threads === 1 ? "thread" : "threads"}`,
    `prompt of ${formatCount(promptTokens)} ${promptTokens === 1 ? "token" : "tokens"}`,
  ];
}

/** Rows and time of each step, what `--plot` draws. */
function plotOf(report: ComparisonReport, info: ModelInfo): Scene {
  return comparisonPlot({
    promptTokens: report.promptTokens,
    cached: report.cached.steps,
    recompute: report.recompute.steps,
    subtitle: whatRan(report, info).join(" · "),
  });
}

/** What the formulas are, and what this run's letters stand for. */
function formulaLines({ promptTokens, cached }: ComparisonReport): string[] {
  const fed = Math.max(0, cached.inferences - 1);
  return [
    `L = ${formatCount(promptTokens)} ${promptTokens === 1 ? "token" : "tokens"} of the prompt, M = ${formatCount(fed)} generated and fed back:`,
    "L + M rows with the KV cache, (M + 1) L + M (M + 1) / 2 without",
  ];
}

/** What the KV cache saved, where something ran: rows, which are the same everywhere, and this machine's time. */
function gainLine({ cached, recompute }: ComparisonReport, colours: Colours): string[] {
  if (cached.ms === 0 || recompute.ms === 0) return [];
  const times = (ratio: number) => colours.bold(`${ratio.toFixed(1)} times`);
  const rows = recompute.rowsComputed / cached.rowsComputed;
  const time = recompute.ms / cached.ms;
  const speed = time < 1 ? `${times(1 / time)} slower` : `${times(time)} faster`;
  return [`${times(rows)} fewer rows and ${speed} with the KV cache`];
}

function verdictLine({ identical, steps, cached }: ComparisonReport, colours: Colours): string {
  const mark = identical ? colours.green("✔") : colours.red("✘");
  if (identical) return `${mark} identical: ${steps} of ${cached.inferences} steps, bit for bit`;
  return `${mark} ${colours.red("not identical")}: see the error`;
}

/** What is wrong with a comparison, in a sentence; null when it proves what it should. */
function complaintOf({
  firstDifference,
  identical,
  cached,
  recompute,
  formula,
}: ComparisonReport): string | null {
  if (firstDifference !== null) return differenceSentence(firstDifference);
  if (!identical) {
    return `The two ways took a different number of steps: ${cached.inferences} cached, ${recompute.inferences} by recomputing.`;
  }
  for (const [name, run, expected] of [
    ["cached", cached, formula.cached],
    ["recomputing", recompute, formula.recompute],
  ] as const) {
    if (run.rowsComputed === expected) continue;
    return `${run.rowsComputed} rows went through the model ${name}; by the formula it should be ${expected}.`;
  }
  return null;
}

function differenceSentence({ step, index, cached, recompute }: Difference): string {
  return `The two ways differ first at step ${step}, logit ${index}: ${withBits(cached)} cached, ${withBits(recompute)} recomputed.`;
}

/** An f32 in nine digits, which tell any two apart, and its bits. */
function withBits(value: number): string {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const digits = Object.is(value, -0) ? "-0" : String(Number(value.toPrecision(9)));
  return `${digits} (bits ${bits.toString(16).padStart(8, "0")})`;
}
