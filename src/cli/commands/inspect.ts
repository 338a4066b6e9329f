/** `lastrow inspect`: what a model is, and what it takes. */
import type { ModelInfo } from "../../library/language-model.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable } from "../../printable.js";
import { architectureObject, architectureWords } from "../architecture-words.js";
import { contextWords, formatCount, kvBoundWords, roundingNotice } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import type { EngineOptions, OutputOptions } from "../options.js";
import { renderTable } from "../table.js";
import { type Colours, coloursFor, type Io, write } from "../terminal.js";

export interface InspectCommandOptions extends EngineOptions, OutputOptions {
  readonly tensors?: boolean | undefined;
}

/** @returns the exit code */
export async function inspect(options: InspectCommandOptions, io: Io): Promise<number> {
  await using model = await loadModel(options, io, { tellsContext: false });
  const hasTokenizer = model.tokenizer !== null;
  if (options.json === true) {
    await write(io, `${toJson(infoObject(model.info, hasTokenizer))}\n`);
  } else {
    const colours = coloursFor(io.stdout, io.env);
    await write(io, renderInfo(model.info, { hasTokenizer, everyTensor: options.tensors === true, colours }));
  }
  return 0;
}

/** What `--json` prints. */
function infoObject(info: ModelInfo, hasTokenizer: boolean): Json {
  const { label, config, kernels, threads, parameters, weightBytes, dtype, kv, memoryBytes, tensors } = info;
  const { blockSize, blocks, blockBytes, bytesPerToken, bytes, bound } = kv;
  const { decoder: _, ...sizes } = config;
  return {
    model: label,
    architecture: { ...sizes, ...architectureObject(config) },
    tokenizer: hasTokenizer,
    kernels,
    threads,
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
      contextBytes: contextBlocks(info) * blockBytes,
      blocks,
      bytes,
      bound,
    },
    tokenBudget: info.tokenBudget,
    memoryBytes,
    tensors: tensors.map((tensor) => ({ name: tensor.name, dtype: tensor.dtype, shape: tensor.shape })),
  };
}

function contextBlocks({ config, kv }: ModelInfo): number {
  return Math.ceil(config.contextLength / kv.blockSize);
}

interface RenderOptions {
  readonly hasTokenizer: boolean;
  /** Each tensor in a line of its own; otherwise the layers' equal ones share a line. */
  readonly everyTensor: boolean;
  readonly colours: Colours;
}

function renderInfo(info: ModelInfo, { hasTokenizer, everyTensor, colours }: RenderOptions): string {
  const { config, kv } = info;
  const facts: string[][] = [];
  const fact = (name: string, ...lines: string[]) =>
    facts.push([colours.dim(name), printable(lines.join("\n"))]);
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
  fact("weights", size(info.weightBytes), ...matrixWords(info));
  const perContext = contextBlocks(info);
  fact(
    "KV cache",
    `${size(kv.bytesPerToken)} a token`,
    `${size(kv.blockBytes)} a block of ${kv.blockSize} positions`,
    `${size(perContext * kv.blockBytes)} a full context of ${perContext} blocks`,
    `${size(kv.bytes)} reserved: ${formatCount(kv.blocks)} ${kv.blocks === 1 ? "block" : "blocks"} of ${kv.dtype}`,
    `room for ${fullContexts(kv.blocks / perContext)}: ${kvBoundWords(kv.bound)}`,
  );
  fact(
    "a step",
    `at most ${formatCount(info.tokenBudget)} ${info.tokenBudget === 1 ? "row" : "rows"} of all sequences`,
  );
  fact("memory", `${size(info.memoryBytes)} in all, for ${info.kernels} kernels`);
  return `${colours.bold(printable(info.label))}\n\n${renderTable(colours, { head: [], rows: facts })}\n\n${tensorTable(info, everyTensor, colours)}\n`;
}

/** `268 MB of matrices as bf16`, for each type, and how many tensors were rounded. */
function matrixWords({ dtype, matrixBytes, roundedTensors }: ModelInfo): string[] {
  const words = Object.entries(matrixBytes).map(
    ([type, bytes]) => `${formatMemorySize(bytes)} of matrices as ${type}`,
  );
  const notice = roundingNotice({ dtype, roundedTensors });
  return notice === null ? words : [...words, notice];
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

function tensorTable({ tensors }: ModelInfo, everyTensor: boolean, colours: Colours): string {
  const rows = (everyTensor ? tensors : joinLayers(tensors)).map(({ name, dtype, shape }) => [
    printable(name),
    dtype,
    `(${shape.join(", ")})`,
    formatCount(shape.reduce((product, length) => product * length, 1)),
  ]);
  return renderTable(colours, {
    head: [`${tensors.length} tensors`, "type", "shape", "values"],
    rows,
    rightAligned: [3],
  });
}

/** `h.3.`, `layers.3.` */
const LAYER = /\b(h|layers)\.(\d+)\./;

/** Tensors of equal shape that differ only in the number of their layer, as one: `h.0…5.ln_1.weight`. */
export function joinLayers(tensors: ModelInfo["tensors"]): ModelInfo["tensors"] {
  const groups = new Map<string, { tensor: ModelInfo["tensors"][number]; layers: number[] }>();
  for (const tensor of tensors) {
    const layer = LAYER.exec(tensor.name)?.[2];
    const pattern = tensor.name.replace(LAYER, "$1.*.");
    const key = layer === undefined ? tensor.name : `${pattern} ${tensor.dtype} ${tensor.shape.join()}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { tensor, layers: layer === undefined ? [] : [Number(layer)] });
    else group.layers.push(Number(layer));
  }
  return [...groups.values()].map(({ tensor, layers }) => {
    if (layers.length < 2) return tensor;
    layers.sort((a, b) => a - b);
    const [first, last] = [layers[0], layers[layers.length - 1]];
    const numbers = last - first + 1 === layers.length ? `${first}…${last}` : layers.join(",");
    return { ...tensor, name: tensor.name.replace(LAYER, `$1.${numbers}.`) };
  });
}
