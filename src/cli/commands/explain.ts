/** `lastrow explain`: what the last row needs at each stage, what recomputing it all wastes, and the figures. */
import { join } from "node:path";
import { LastrowError } from "../../errors.js";
import type { CacheBytes } from "../../explain/cache-costs.js";
import type { Stage, StageNeed } from "../../explain/dependencies.js";
import { type Explanation, explain, type WayCost } from "../../explain/explain.js";
import { attentionFigure } from "../../explain/figures/attention-figure.js";
import { inferenceFigure } from "../../explain/figures/inference-figure.js";
import type { Scene } from "../../explain/scene.js";
import type { SvgTheme } from "../../explain/svg.js";
import type { LanguageModel } from "../../library/language-model.js";
import type { ModelInfo } from "../../library/model-info.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable } from "../../printable.js";
import { architectureWords } from "../architecture-words.js";
import { reportError } from "../exit.js";
import { formatCount, layerRanges } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions, PromptOptions } from "../options.js";
import { bar } from "../progress.js";
import { choosePrompt } from "../prompt.js";
import { expectFolder, writeSvg } from "../svg-file.js";
import { renderTable, tableWidth, turnedTable } from "../table.js";
import { type Colours, coloursFor, type Io, lineRoomOf, wrapText, write } from "../terminal.js";
import { tokenLabel } from "../token-label.js";
import { DEFAULT_PROMPT } from "./compare.js";

export interface ExplainCommandOptions extends EngineOptions, PromptOptions, OutputOptions {
  readonly maxTokens?: number | undefined;
  readonly seed?: number | undefined;
  readonly svg?: string | undefined;
  readonly layer?: number | undefined;
  readonly theme?: SvgTheme | undefined;
}

/** @returns the exit code: 1 when a counter and the trace disagree */
export async function explainCommand(
  argument: string | undefined,
  options: ExplainCommandOptions,
  io: Io,
): Promise<number> {
  if (options.svg !== undefined) await expectFolder(options.svg, "The figures", { makes: true });
  const prompt = await choosePrompt(argument, options, { text: DEFAULT_PROMPT }, io);
  await using model = await loadModel(options, io);
  const { layer = 0 } = options;
  if (layer >= model.info.config.numLayers) {
    throw new LastrowError(
      "invalid_argument",
      `--layer is ${layer}; ${model.info.label} has layers 0 to ${model.info.config.numLayers - 1}.`,
    );
  }
  const progress = bar(io, "running both ways", "steps");
  const explanation = await explain(model, prompt, {
    maxTokens: options.maxTokens,
    seed: options.seed,
    parseSpecial: options.parseSpecial,
    signal: io.signal,
    onProgress: (done, of) => progress.update(done, of),
  }).finally(() => progress.stop());
  const files =
    options.svg === undefined
      ? []
      : await writeFigures(options.svg, figuresOf(model, explanation, layer), options.theme);
  if (options.json === true) {
    await write(io, `${toJson(explanationObject(explanation, model.info, files))}\n`);
  } else {
    const colours = coloursFor(io.stdout, io.env);
    const width = lineRoomOf(io.stdout);
    await write(io, renderExplanation(explanation, model.info, { colours, width }));
    const lines = files.map((file) => `figure in ${printable(file)}\n`);
    if (files.length > 0) await write(io, `\n${colours.dim(lines.join(""))}`);
  }
  const complaint = complaintOf(explanation);
  if (complaint === null) return 0;
  reportError(io, complaint);
  return 1;
}

interface Figure {
  readonly file: string;
  readonly scene: Scene;
}

/** The four figures, of the run's last inference. */
function figuresOf(model: LanguageModel, { traces }: Explanation, layer: number): Figure[] {
  const { tokenizer } = model;
  const tokenTexts = traces.cached.tokens.map((token) => tokenLabel(tokenizer, token));
  const options = { layer, tokenTexts };
  return [
    { file: "inference-recomputed.svg", scene: inferenceFigure(traces.recompute, options) },
    { file: "attention-recomputed.svg", scene: attentionFigure(traces.recompute, options) },
    { file: "attention-cached.svg", scene: attentionFigure(traces.cached, options) },
    { file: "inference-cached.svg", scene: inferenceFigure(traces.cached, options) },
  ];
}

async function writeFigures(
  folder: string,
  figures: readonly Figure[],
  theme: SvgTheme | undefined,
): Promise<string[]> {
  for (const { file, scene } of figures) await writeSvg(join(folder, file), scene, { theme });
  return figures.map(({ file }) => join(folder, file));
}

/** What `--json` prints. */
function explanationObject(
  explanation: Explanation,
  { label, kernels, threads }: ModelInfo,
  files: readonly string[],
): Json {
  const { promptLength, fedTokens, stages, kept } = explanation;
  const { cacheBytes, ungroupedCacheBytes, unwindowedCacheBytes } = explanation;
  const way = ({ rows, multiplyAdds, ms }: WayCost): Json => ({
    rows: { ...rows },
    multiplyAdds: { ...multiplyAdds },
    ms,
  });
  return {
    model: label,
    kernels,
    threads,
    promptTokens: promptLength,
    fedTokens,
    stages: stages.map(({ needs, ...stage }) => ({ ...stage, needs: needs.map((need) => ({ ...need })) })),
    kept: { ...kept },
    recompute: way(explanation.recompute),
    cached: way(explanation.cached),
    cacheBytes: { ...cacheBytes },
    ...(ungroupedCacheBytes !== null && { ungroupedCacheBytes: { ...ungroupedCacheBytes } }),
    ...(unwindowedCacheBytes !== null && { unwindowedCacheBytes: { ...unwindowedCacheBytes } }),
    ...(files.length > 0 && { figures: files }),
  };
}

interface RenderOptions {
  readonly colours: Colours;
  readonly width: number;
}

function renderExplanation(
  explanation: Explanation,
  info: ModelInfo,
  { colours, width }: RenderOptions,
): string {
  const { promptLength: L, fedTokens: M } = explanation;
  const length = L + M;
  const { config } = info;
  const shared = config.numKvHeads === config.numHeads ? "" : ` (${config.numKvHeads} of K and V)`;
  // Tables have their own ways to fit.
  const wrapped = (text: string) => (text.includes("\n") ? text : wrapText(text, width));
  const lines = [
    `${colours.bold(printable(info.label))}  ${config.numLayers} ${plural(config.numLayers, "layer")} of width ${config.hiddenSize}, ${config.numHeads} ${plural(config.numHeads, "head")} of ${config.headDim}${shared}, vocabulary of ${formatCount(config.vocabSize)}`,
    ...architectureWords(config)
      .slice(1)
      .map((line) => colours.dim(line)),
    colours.dim(
      `L = ${formatCount(L)} ${plural(L, "token")} of the prompt, M = ${formatCount(M)} generated and fed: ${formatCount(length)} ${plural(length, "row")} in the end`,
    ),
    "",
    colours.bold("What the last row is made from"),
    "",
    stageTable(explanation.stages, colours, width),
    "",
    ...keptSentence(explanation, colours),
    "",
    colours.bold("What it costs to generate them"),
    "",
    costTable(explanation, colours, width),
    "",
    ...costSentences(explanation, info, colours),
    "",
    colours.bold("What the cache costs"),
    "",
    cacheTable(explanation, info, colours),
    ...savingSentences(explanation, info, colours),
  ];
  return `${lines.map(wrapped).join("\n")}\n`;
}

/** A terminal that is wider shows shapes, too. */
const WIDTH_FOR_SHAPES = 96;

/** How the table of stages gets narrower, where names are long. */
interface StageLayout {
  readonly hasShapes?: true;
  /** What is needed stands below each other. */
  readonly stacksNeeds?: true;
  /** Layers stand above what they have in common. */
  readonly stacksNames?: true;
  /** What is needed stands below the stage that needs it. */
  readonly joinsColumns?: true;
}

/** The first layout that fits, or the narrowest. */
function stageTable(stages: readonly Stage[], colours: Colours, width: number): string {
  const layouts: StageLayout[] = [
    ...(width >= WIDTH_FOR_SHAPES && width < Number.POSITIVE_INFINITY ? [{ hasShapes: true } as const] : []),
    ...[{}, { stacksNeeds: true } as const, { stacksNeeds: true, stacksNames: true } as const],
    { stacksNeeds: true, stacksNames: true, joinsColumns: true },
  ];
  let table = "";
  for (const layout of layouts) {
    table = stageTableAs(stages, colours, layout);
    if (tableWidth(table) <= width) break;
  }
  return table;
}

function stageTableAs(stages: readonly Stage[], colours: Colours, layout: StageLayout): string {
  const hasShapes = layout.hasShapes === true;
  const rows = stages.map((stage) => {
    const isWide = stage.needs.some(({ which }) => which !== "row");
    const mark = (lines: readonly string[]) =>
      lines.map((line) => (isWide ? colours.yellow(line) : line)).join("\n");
    const needs = stage.needs.map(needText);
    const name = layout.stacksNames ? stackedName(stage) : [stageName(stage)];
    const needed = layout.stacksNeeds
      ? needs.map((need, i) => (i === needs.length - 1 ? need : `${need} +`))
      : [needs.join(" + ")];
    const cost = stage.multiplyAdds === 0 ? "" : formatCount(stage.multiplyAdds);
    if (layout.joinsColumns) return [mark([...name, ...needed.map((line) => `    ${line}`)]), cost];
    return [
      mark(name),
      ...(hasShapes ? [colours.dim(`(${stage.shape.map(formatCount).join(", ")})`)] : []),
      mark(needed),
      cost,
    ];
  });
  if (layout.joinsColumns) {
    const head = ["stage\n    its last row needs", "multiply-\nadds of\nthat row"];
    return renderTable(colours, { head, rows, rightAligned: [1] });
  }
  return renderTable(colours, {
    head: ["stage", ...(hasShapes ? ["shape"] : []), "its last row needs", "multiply-adds\nof that row"],
    rows,
    rightAligned: [hasShapes ? 3 : 2],
  });
}

/** Longest line of layers above a name. */
const LAYERS_WIDTH = 26;

/** `layers.0…3.` above `  self_attn.q_proj`. */
function stackedName({ name, stack, layers }: Stage): string[] {
  if (layers.length === 0) return [name];
  const lines: string[] = [];
  let line = `${stack}.`;
  for (const [i, range] of layerRanges(layers).split(",").entries()) {
    if (i > 0) line += ",";
    if (line.length + range.length >= LAYERS_WIDTH) {
      lines.push(line);
      line = "  ";
    }
    line += range;
  }
  return [...lines, `${line}.`, `  ${name}`];
}

/** `h.0…5.attn.c_attn`; of layers that do not follow one another `layers.0…1,3.mlp.act`. */
function stageName({ name, stack, layers }: Stage): string {
  return layers.length === 0 ? name : `${stack}.${layerRanges(layers)}.${name}`;
}

function needText({ tensor, rows, of, which }: StageNeed): string {
  const name = tensor.replace(/^((\w*attn|attention|mlp)\.)+/, "");
  if (which === "all") return `all ${formatCount(rows)} of ${name}`;
  if (which === "window") return `the last ${formatCount(rows)} of ${name}`;
  return tensor.endsWith(".weight") ? `1 of ${formatCount(of)} of ${name}` : `1 of ${name}`;
}

function keptSentence({ kept, stages, promptLength, fedTokens }: Explanation, colours: Colours): string[] {
  const asked = Object.entries(kept)
    .filter(([, isKept]) => isKept)
    .map(([name]) => name.toUpperCase());
  const others = Object.entries(kept)
    .filter(([, isKept]) => !isKept)
    .map(([name]) => name.toUpperCase());
  if (asked.length === 0) return ["A row needs no other: there is nothing to keep yet."];
  const names = colours.yellow(asked.join(" and "));
  return [
    `Of ${formatCount(promptLength + fedTokens)} rows a stage needs one, attention ${seenWords(stages, names)}: keep those.`,
    `No stage needs an old row of ${others.join(" or ")}.`,
  ];
}

/** `all of K and V`, `the last 8 of K and V in 22 layers, all of them in 4`. */
function seenWords(stages: readonly Stage[], names: string): string {
  const sights = new Map<string, number>();
  for (const { needs, layers } of stages) {
    const keys = needs.find(({ tensor }) => tensor === "K");
    if (keys === undefined) continue;
    const sight = keys.which === "all" ? "all" : `the last ${formatCount(keys.rows)}`;
    sights.set(sight, (sights.get(sight) ?? 0) + layers.length);
  }
  if (sights.size === 1) return `${[...sights.keys()][0]} of ${names}`;
  return [...sights]
    .map(([sight, layers], i) => {
      const of = i === 0 ? names : "them";
      return `${sight} of ${of} in ${layers} ${plural(layers, "layer")}`;
    })
    .join(", ");
}

function costTable(explanation: Explanation, colours: Colours, width: number): string {
  const { recompute, cached } = explanation;
  const row = (name: string, { rows, multiplyAdds }: WayCost, formula: string) => {
    const mark = rows.counted === rows.traced && rows.traced === rows.formula ? String : colours.red;
    const markCost = multiplyAdds.counted === multiplyAdds.traced ? String : colours.red;
    return [
      colours.bold(name),
      mark(formatCount(rows.counted)),
      mark(formatCount(rows.formula)),
      colours.dim(formula),
      markCost(formatCount(multiplyAdds.counted)),
      markCost(formatCount(multiplyAdds.traced)),
    ];
  };
  const content = {
    head: ["", "rows\ncounted", "by\nformula", "", "multiply-adds\ncounted", "by the\ntrace"],
    rows: [row("recompute", recompute, "(M+1)L + M(M+1)/2"), row("cached", cached, "L + M")],
    rightAligned: [1, 2, 4, 5],
  };
  return turnedTable(colours, content, width);
}

function costSentences(
  { recompute, cached }: Explanation,
  { kernels }: ModelInfo,
  colours: Colours,
): string[] {
  const wasted = (all: number, needed: number) => (all === 0 ? 0 : (100 * (all - needed)) / all);
  const rows = wasted(recompute.rows.counted, cached.rows.counted);
  const work = wasted(recompute.multiplyAdds.counted, cached.multiplyAdds.counted);
  return [
    `Recomputing wastes ${colours.bold(`${rows.toFixed(1)} %`)} of its rows and ${colours.bold(`${work.toFixed(1)} %`)} of its multiply-adds.`,
    colours.dim(`Counted in one run of each way, where the ${kernels} kernels are called.`),
  ];
}

function cacheTable(explanation: Explanation, { config }: ModelInfo, colours: Colours): string {
  const { cacheBytes, ungroupedCacheBytes, unwindowedCacheBytes } = explanation;
  const ways: [title: string, of: CacheBytes][] = [["", cacheBytes]];
  const heads = `with ${config.numHeads} heads\nof K and V`;
  if (ungroupedCacheBytes !== null) ways.push([heads, ungroupedCacheBytes]);
  if (unwindowedCacheBytes !== null) ways.push(["without\nwindows", unwindowedCacheBytes]);
  const row = (name: string, of: keyof CacheBytes) => [
    colours.dim(name),
    ...ways.map(([, costs], i) => (i === 0 ? bytes(costs[of]) : formatMemorySize(costs[of]))),
  ];
  return renderTable(colours, {
    head: ways.length === 1 ? [] : ["", ...ways.map(([title]) => title)],
    rows: [
      row("a token", "token"),
      row("this sequence", "sequence"),
      row(`a full context of ${formatCount(config.contextLength)}`, "context"),
    ],
  });
}

/** What grouped heads and windows save, each in a sentence. */
function savingSentences(
  { cacheBytes, ungroupedCacheBytes, unwindowedCacheBytes }: Explanation,
  { config, kv }: ModelInfo,
  colours: Colours,
): string[] {
  const { numHeads, numKvHeads, contextLength, numLayers } = config;
  const less = (now: number, otherwise: number) =>
    colours.bold(`${((100 * (otherwise - now)) / otherwise).toFixed(1)} %`);
  const lines: string[] = [];
  if (ungroupedCacheBytes !== null) {
    const { token } = ungroupedCacheBytes;
    const heads = `${numKvHeads} ${plural(numKvHeads, "head")}`;
    lines.push(
      `${numHeads} query heads share ${heads} of K and V: ${formatCount(cacheBytes.token)} bytes a token, not ${formatCount(token)}. It saves ${less(cacheBytes.token, token)}.`,
    );
  }
  if (unwindowedCacheBytes !== null) {
    const seen = kv.kinds
      .filter(({ window }) => window !== null)
      .map(({ window, layers }) => `the last ${formatCount(window ?? 0)} rows in ${layers}`);
    lines.push(
      `Windows: attention sees ${seen.join(", ")} of ${numLayers} layers, whose older K and V are given back.`,
      `Of a full context of ${formatCount(contextLength)} that saves ${less(cacheBytes.context, unwindowedCacheBytes.context)}.`,
    );
  }
  return lines.length === 0 ? [] : ["", ...lines];
}

function bytes(size: number): string {
  return size < 1000 ? formatMemorySize(size) : `${formatMemorySize(size)} (${formatCount(size)} bytes)`;
}

function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}

/** Where a counter of the run and the trace or the formula differ, in a sentence; null when all agree. */
function complaintOf({ recompute, cached }: Explanation): string | null {
  for (const [name, { rows, multiplyAdds }] of Object.entries({ recompute, cached })) {
    if (rows.counted !== rows.formula || rows.traced !== rows.formula) {
      return `${name}: ${rows.counted} rows went through the model; it should be ${rows.formula} by the formula, ${rows.traced} by the trace.`;
    }
    if (multiplyAdds.counted !== multiplyAdds.traced) {
      return `${name}: the kernels counted ${multiplyAdds.counted} multiply-adds; by the trace it should be ${multiplyAdds.traced}.`;
    }
  }
  return null;
}
