/** `lastrow inspect`: what a model is, and what it takes. */
import { sequenceBytes } from "../../kv-cache/block-needs.js";
import type { ModelInfo } from "../../library/model-info.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable } from "../../printable.js";
import { architectureObject, architectureWords } from "../architecture-words.js";
import { contextWords, formatCount, kvBoundWords, machineWords, roundingNotice } from "../format.js";
import { type Json, toJson } from "../json.js";
import { metadataObject, metadataTable } from "../metadata-table.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions } from "../options.js";
import { renderTable } from "../table.js";
import { mixtureOf, mixtureWords, tensorTable } from "../tensor-table.js";
import { type Colours, coloursFor, columnsOf, type Io, wrapText, write } from "../terminal.js";

export interface InspectCommandOptions extends EngineOptions, OutputOptions {
  readonly tensors?: boolean | undefined;
}

/** Nothing is broken into lines there, but long texts are cut. */
const WIDTH_OF_A_PIPE = 120;

/** @returns the exit code */
export async function inspect(options: InspectCommandOptions, io: Io): Promise<number> {
  await using model = await loadModel(options, io, { tellsContext: false });
  const hasTokenizer = model.tokenizer !== null;
  if (options.json === true) {
    await write(io, `${toJson(infoObject(model.info, hasTokenizer))}\n`);
  } else {
    const colours = coloursFor(io.stdout, io.env);
    const width = io.stdout.isTTY === true ? columnsOf(io.stdout) : WIDTH_OF_A_PIPE;
    await write(
      io,
      renderInfo(model.info, { hasTokenizer, everyTensor: options.tensors === true, width, colours }),
    );
  }
  return 0;
}

/** What `--json` prints. */
function infoObject(info: ModelInfo, hasTokenizer: boolean): Json {
  const { label, config, kernels, threads, vectors, dots, parameters, weightBytes, dtype, kv, memoryBytes } =
    info;
  const { blockSize, blocks, blockBytes, bytesPerToken, bytes, bound, tokens, kinds } = kv;
  const { decoder: _, ...sizes } = config;
  return {
    model: label,
    architecture: { ...sizes, ...architectureObject(config) },
    tokenizer: hasTokenizer,
    ...{ kernels, threads, vectors, dots },
    parameters,
    dtype,
    weightBytes,
    contextBound: info.contextBound,
    matrixBytes: info.matrixBytes,
    roundedTensors: info.roundedTensors,
    kv: {
      bytesPerToken,
      blockSize,
      blockBytes,
      contextBytes: sequenceBytes(kinds, config.contextLength),
      kinds: kinds.map((kind) => ({ ...kind, contextBytes: sequenceBytes([kind], config.contextLength) })),
      blocks,
      bytes,
      tokens,
      bound,
    },
    tokenBudget: info.tokenBudget,
    memoryBytes,
    files: info.files.map(({ name, bytes }) => ({ name, bytes })),
    tensorTypes: mixtureOf(info.tensors),
    metadata: metadataObject(info),
    tensors: info.tensors.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes })),
  };
}

interface RenderOptions {
  readonly hasTokenizer: boolean;
  /** Each tensor in a line of its own; otherwise the layers' equal ones share a line. */
  readonly everyTensor: boolean;
  /** Of the screen. */
  readonly width: number;
  readonly colours: Colours;
}

/** Columns of the names of facts, and the gap behind them. */
const NAME_COLUMNS = 14;

function renderInfo(info: ModelInfo, { hasTokenizer, everyTensor, width, colours }: RenderOptions): string {
  const { config, kv } = info;
  const facts: string[][] = [];
  const fact = (name: string, ...lines: string[]) => {
    const folded = lines.map((line) => {
      // What goes on in the next line stands further in than what begins there.
      return wrapText(printable(line), width - NAME_COLUMNS - 2).replaceAll("\n", "\n  ");
    });
    facts.push([colours.dim(name), folded.join("\n")]);
  };
  fact("architecture", ...architectureWords(config));
  fact("context", contextWords(info));
  fact(
    "vocabulary",
    [
      `${formatCount(config.vocabSize)} tokens`,
      ...(config.bosTokenId === null ? [] : [`start ${config.bosTokenId}`]),
      ...(config.eosTokenIds.length === 0 ? [] : [`end ${config.eosTokenIds.join(", ")}`]),
      ...(hasTokenizer ? [] : ["no tokenizer"]),
    ].join(", "),
  );
  fact("parameters", formatCount(info.parameters));
  const stored = info.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  fact("stored", mixtureWords(info.tensors), `${size(stored)}${fileWords(info)}`);
  fact("weights", size(info.weightBytes), ...matrixWords(info));
  const contextBytes = sequenceBytes(kv.kinds, config.contextLength);
  const contextTokens = Math.ceil(config.contextLength / kv.blockSize) * kv.blockSize;
  fact(
    "KV cache",
    `${size(kv.bytesPerToken)} a token${ungroupedWords(info)}`,
    `${size(kv.blockBytes)} a block of ${kv.blockSize} positions${layersInBlock(info)}`,
    `${size(contextBytes)} a full context of ${formatCount(contextBytes / kv.blockBytes)} blocks`,
    ...kindWords(info),
    `${size(kv.bytes)} reserved: ${formatCount(kv.blocks)} ${kv.blocks === 1 ? "block" : "blocks"} of ${kv.dtype}`,
    `room for ${fullContexts(kv.tokens / contextTokens)}: ${kvBoundWords(kv.bound)}`,
  );
  fact(
    "a step",
    `at most ${formatCount(info.tokenBudget)} ${info.tokenBudget === 1 ? "row" : "rows"} of all sequences`,
  );
  fact("kernels", `${info.kernels}, ${machineWords(info)}`);
  fact("memory", `${size(info.memoryBytes)} in all`);
  const parts = [colours.bold(printable(info.label)), renderTable(colours, { head: [], rows: facts })];
  if (info.metadata.length > 0) parts.push(metadataTable(info, width, colours));
  parts.push(tensorTable(info, { everyTensor, width, colours }));
  return `${parts.join("\n\n")}\n`;
}

/** What as many heads of K and V as of queries would take, where there are fewer. */
function ungroupedWords({ config: { numHeads, numKvHeads }, kv: { bytesPerToken } }: ModelInfo): string {
  if (numKvHeads === numHeads) return "";
  const ungrouped = formatMemorySize((bytesPerToken * numHeads) / numKvHeads);
  return `, with ${numHeads} heads of K and V it would be ${ungrouped}`;
}

/** Of how many layers a block is, where it is not of all. */
function layersInBlock({ kv: { kinds } }: ModelInfo): string {
  const [kind] = kinds;
  const layers = kind.layers / kind.groups;
  return kinds.length === 1 ? "" : ` of ${layers} ${layers === 1 ? "layer" : "layers"}`;
}

/** What the layers of each kind take of a full context, where some have windows. */
function kindWords({ config, kv: { kinds } }: ModelInfo): string[] {
  if (kinds.every(({ window }) => window === null)) return [];
  return kinds.map((kind) => {
    const sight =
      kind.window === null
        ? `that ${kind.layers === 1 ? "sees" : "see"} everything`
        : `with a window of ${formatCount(kind.window)}`;
    const layers = `${kind.layers} ${kind.layers === 1 ? "layer" : "layers"}`;
    return `${size(sequenceBytes([kind], config.contextLength))} of it for ${layers} ${sight}`;
  });
}

/** `268 MB of matrices as bf16`, for each type, and how many tensors were rounded. */
function matrixWords({ dtype, matrixBytes, roundedTensors }: ModelInfo): string[] {
  const words = Object.entries(matrixBytes).map(
    ([type, bytes]) => `${formatMemorySize(bytes)} of matrices as ${type}`,
  );
  const notice = roundingNotice({ dtype, roundedTensors });
  return notice === null ? words : [...words, notice];
}

/** The files that the weights are in; of many the first. */
function fileWords({ files }: ModelInfo): string {
  const [first] = files;
  if (first === undefined) return "";
  return files.length === 1 ? ` in ${first.name}` : ` in ${files.length} files, ${first.name} and so on`;
}

/** `4 full contexts`, `0.25 of a full context` */
function fullContexts(count: number): string {
  const rounded = Math.floor(100 * count) / 100;
  if (rounded < 1) return `${rounded} of a full context`;
  return `${rounded} full ${rounded === 1 ? "context" : "contexts"}`;
}

/** `12.7 MB (12,658,176 bytes)` */
function size(bytes: number): string {
  return bytes < 1000 ? formatMemorySize(bytes) : `${formatMemorySize(bytes)} (${formatCount(bytes)} bytes)`;
}
