/**
 * Runs the model's own forward pass on tracing kernels, and gives every tensor that it made a name. Takes a config and
 * tokens and no weights: what depends on what does not depend on their values.
 */
import { LastrowError } from "../errors.js";
import type { Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, kvLayout } from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import type { RecordedTensor } from "../kernels/tracing/recorded-tensor.js";
import { TracingKernels, tracingSizes } from "../kernels/tracing/tracing-kernels.js";
import type { ModelConfig } from "../model/config.js";
import { Gpt2, type Gpt2Weights, planGpt2Scratch, planGpt2Weights } from "../model/gpt2.js";
import type { Trace, TracedTensor } from "./trace.js";

/** A forward pass to be traced: which tokens there are, and which of them are fed. */
export interface TracedPass {
  /** Token ids of the whole sequence, at least one, at most the context's length. */
  readonly tokens: readonly number[];
  /** Rows whose K and V are in the cache, 0 … tokens − 1, default 0: the pass is fed with the rest. */
  readonly numCachedTokens?: number | undefined;
  /**
   * Rows of logits that are wanted: the `last` one, as generating does, `all` rows that are fed (the default), or `none`,
   * as in all chunks of a long prompt but the last.
   */
  readonly logits?: "none" | "last" | "all" | undefined;
  /** How the kernels that are traced for cut a weight in two: theirs. By default without waste. */
  readonly columnsOf?: Kernels["columnsOf"] | undefined;
}

/**
 * Traces one forward pass.
 * @throws LastrowError `invalid_argument` for numbers outside of these ranges
 */
export function traceForward(config: ModelConfig, pass: TracedPass): Trace {
  const { tokens, numCachedTokens = 0 } = pass;
  const { kernels, weights } = runTraced(config, pass);
  const tensors = nameTensors(kernels.recorded, weights, tokens.length);
  return { config, tokens, numCachedTokens, tensors };
}

/**
 * Multiply-adds of one forward pass, by the trace.
 * @throws LastrowError as `traceForward`
 */
export function tracedMultiplyAdds(config: ModelConfig, pass: TracedPass): number {
  return runTraced(config, pass).kernels.multiplyAdds;
}

function runTraced(config: ModelConfig, pass: TracedPass) {
  const { tokens, numCachedTokens = 0, logits = "all" } = pass;
  checkPass(config, tokens, numCachedTokens);
  const count = tokens.length - numCachedTokens;
  const wanted = { none: 0, last: 1, all: count }[logits];
  const numBlocks = Math.ceil(tokens.length / BLOCK_SIZE);
  const plan = new MemoryPlan(tracingSizes);
  const weights = planGpt2Weights(plan, config);
  const limits = { maxRows: count, maxLogitsRows: wanted, maxSequences: 1 };
  const scratch = planGpt2Scratch(plan, config, limits);
  const kernels = new TracingKernels(pass.columnsOf);
  const model = new Gpt2(config, kernels, weights, scratch);
  const blockIds = Array.from({ length: numBlocks }, (_, block) => block);
  model.batch.add({ tokens, from: numCachedTokens, count, blockIds, wanted });
  model.forward(kvLayout(config, "f32", 0, numBlocks));
  return { kernels, weights };
}

function checkPass(config: ModelConfig, tokens: readonly number[], numCachedTokens: number): void {
  const { contextLength, vocabSize } = config;
  if (tokens.length < 1 || tokens.length > contextLength) {
    throw invalid(`A pass has from 1 to ${contextLength} tokens, not ${tokens.length}.`);
  }
  const strange = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize);
  if (strange !== undefined) throw invalid(`A token id is from 0 to ${vocabSize - 1}, not ${strange}.`);
  if (!Number.isInteger(numCachedTokens) || numCachedTokens < 0 || numCachedTokens >= tokens.length) {
    throw invalid(
      `Of ${tokens.length} tokens 0 to ${tokens.length - 1} can be cached, not ${numCachedTokens}.`,
    );
  }
}

function invalid(message: string): LastrowError {
  return new LastrowError("invalid_argument", message);
}

function nameTensors(
  recorded: readonly RecordedTensor[],
  weights: Gpt2Weights,
  length: number,
): TracedTensor[] {
  const modules = modulesByOffset(weights);
  const names: string[] = [];
  return recorded.map((tensor) => {
    const { id, operation, rows, cols, sources, multiplyAdds } = tensor;
    const name = nameOf(tensor, { recorded, names, modules, weights });
    names.push(name);
    const layer = /^h\.(\d+)\./.exec(name)?.[1];
    return {
      ...{ id, name, operation, rows, cols, sources, multiplyAdds },
      layer: layer === undefined ? null : Number(layer),
      firstPosition: firstPosition(tensor, length),
    };
  });
}

/** Rows of a pass are the last ones of its sequence; what the cache held begins at its start. */
function firstPosition({ operation, rows }: RecordedTensor, length: number): number | null {
  if (operation === "weight") return null;
  return operation === "cachedKeys" || operation === "cachedValues" ? 0 : length - rows;
}

interface Naming {
  readonly recorded: readonly RecordedTensor[];
  /** Of the tensors before this one. */
  readonly names: readonly string[];
  readonly modules: ReadonlyMap<number, string>;
  readonly weights: Gpt2Weights;
}

function nameOf(tensor: RecordedTensor, { recorded, names, modules, weights }: Naming): string {
  const { operation, layer, firstColumn, cols } = tensor;
  const sources = tensor.sources.map((source) => names[source.tensor]);
  const module = modules.get(tensor.weight ?? -1) ?? "";
  switch (operation) {
    case "weight":
      return `${module}.weight`;
    case "embed":
    case "addRowsAt":
    case "layerNorm":
      return module;
    case "linear": {
      // A tied head is the embedding, read the other way.
      if (tensor.weight === weights.lm_head.offset) return "lm_head";
      const isQueryPart = module.endsWith("c_attn") && cols === weights.wpe.cols && firstColumn === 0;
      return isQueryPart ? module.replace("c_attn", "q") : module;
    }
    case "columns": {
      // One of c_attn's three equal parts; what was computed of c_attn may itself begin later.
      const first = recorded[tensor.sources[0].tensor].firstColumn + firstColumn;
      return sources[0].replace("c_attn", ["q", "k", "v"][first / cols]);
    }
    case "gatherRows":
      return `${sources[0]}.wanted`;
    case "add":
      return sources[1].replace("c_proj", "residual");
    case "activate":
      return sources[0].replace("c_fc", "act");
    default:
      return `h.${layer}.attn.${operation}`;
  }
}

/** The checkpoint's names of the modules, by the place of their weight. */
function modulesByOffset(weights: Gpt2Weights): Map<number, string> {
  const modules = new Map<number, string>([
    [weights.wte.offset, "wte"],
    [weights.wpe.offset, "wpe"],
    [weights.ln_f.weight.offset, "ln_f"],
  ]);
  weights.h.forEach(({ ln_1, attn, ln_2, mlp }, i) => {
    modules.set(ln_1.weight.offset, `h.${i}.ln_1`);
    modules.set(attn.c_attn.weight.offset, `h.${i}.attn.c_attn`);
    modules.set(attn.c_proj.weight.offset, `h.${i}.attn.c_proj`);
    modules.set(ln_2.weight.offset, `h.${i}.ln_2`);
    modules.set(mlp.c_fc.weight.offset, `h.${i}.mlp.c_fc`);
    modules.set(mlp.c_proj.weight.offset, `h.${i}.mlp.c_proj`);
  });
  return modules;
}
