/**
 * Runs the model's own forward pass on tracing kernels, and gives every tensor that it made a name. Takes a config and
 * tokens and no weights: what depends on what does not depend on their values.
 */
import { expectArchitecture } from "../architectures/known-architectures.js";
import { invalidArgument } from "../errors.js";
import { BLOCK_SIZE, kvLayout, runsAlone } from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import type { RecordedTensor } from "../kernels/tracing/recorded-tensor.js";
import { TracingKernels, tracingSizes } from "../kernels/tracing/tracing-kernels.js";
import type { ModelConfig } from "../model/config.js";
import { Decoder } from "../model/decoder.js";
import { planScratch } from "../model/decoder-scratch.js";
import { type DecoderSpec, kvShapeOf, type TensorRow, type WeightName } from "../model/decoder-spec.js";
import { planWeights, type WeightPlace } from "../model/decoder-weights.js";
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
}

/**
 * Traces one forward pass.
 * @throws LastrowError `invalid_argument` for numbers outside of these ranges
 */
export function traceForward(config: ModelConfig, pass: TracedPass): Trace {
  const { decoder, modelType } = config;
  const { tokens, numCachedTokens = 0 } = pass;
  const tensors = traceDecoder(decoder, expectArchitecture(modelType).tensors, pass);
  return { config, tokens, numCachedTokens, tensors };
}

/**
 * The tensors of one forward pass of a decoder, whatever its family.
 * @param rowsOf what a checkpoint of it has: names are taken from there
 * @throws LastrowError as `traceForward`
 */
export function traceDecoder(
  decoder: DecoderSpec,
  rowsOf: (decoder: DecoderSpec) => readonly TensorRow[],
  pass: TracedPass,
): TracedTensor[] {
  const { kernels, places } = runTraced(decoder, pass);
  const modules = modulesByOffset(rowsOf(apartFromHead(decoder)), places);
  return nameTensors(kernels.recorded, modules, pass.tokens.length);
}

/**
 * Multiply-adds of one forward pass, by the trace.
 * @throws LastrowError as `traceForward`
 */
export function tracedMultiplyAdds(config: ModelConfig, pass: TracedPass): number {
  return runTraced(config.decoder, pass).kernels.multiplyAdds;
}

function runTraced(spec: DecoderSpec, pass: TracedPass) {
  const { tokens, numCachedTokens = 0, logits = "all" } = pass;
  checkPass(spec, tokens, numCachedTokens);
  const count = tokens.length - numCachedTokens;
  const wanted = { none: 0, last: 1, all: count }[logits];
  const numBlocks = Math.ceil(tokens.length / BLOCK_SIZE);
  const plan = new MemoryPlan(tracingSizes);
  const decoder = apartFromHead(spec);
  const { weights, places } = planWeights(plan, decoder);
  const limits = { maxRows: count, maxLogitsRows: wanted, maxSequences: 1 };
  const scratch = planScratch(plan, decoder, limits);
  const kernels = new TracingKernels();
  const model = new Decoder(decoder, kernels, weights, scratch);
  const kv = kvLayout(kvShapeOf(decoder), "f32", 0, numBlocks);
  const runs = runsAlone(kv.groups, numBlocks);
  model.batch.add({ tokens, from: numCachedTokens, count, runs, wanted });
  model.forward(kv);
  return { kernels, places };
}

/** The embedding apart, so that a trace can tell a look-up in it from the product with the head. */
function apartFromHead(decoder: DecoderSpec): DecoderSpec {
  return { ...decoder, tied: false };
}

function checkPass(spec: DecoderSpec, tokens: readonly number[], numCachedTokens: number): void {
  const { contextLength, vocabSize } = spec;
  if (tokens.length < 1 || tokens.length > contextLength) {
    throw invalidArgument(`A pass has from 1 to ${contextLength} tokens, not ${tokens.length}.`);
  }
  const strange = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabSize);
  if (strange !== undefined)
    throw invalidArgument(`A token id is from 0 to ${vocabSize - 1}, not ${strange}.`);
  if (!Number.isInteger(numCachedTokens) || numCachedTokens < 0 || numCachedTokens >= tokens.length) {
    throw invalidArgument(
      `Of ${tokens.length} tokens 0 to ${tokens.length - 1} can be cached, not ${numCachedTokens}.`,
    );
  }
}

/** What is made with a weight, by the weight's place. */
interface Module {
  /** The checkpoint's name for it, or that of its part of a stored matrix. */
  readonly name: string;
  /** Number of its layer, or null. */
  readonly layer: number | null;
}

interface WeightModule extends Module {
  /** `WeightName` without its last part. */
  readonly weight: string;
  /** The checkpoint's modules that it is stored in. */
  readonly stored: readonly string[];
}

function nameTensors(
  recorded: readonly RecordedTensor[],
  modules: ReadonlyMap<number, WeightModule>,
  length: number,
): TracedTensor[] {
  const named: TracedTensor[] = [];
  const taken = new Map<string, number>();
  for (const tensor of recorded) {
    const { id, operation, rows, cols, sources, multiplyAdds } = tensor;
    const module = moduleOf(tensor, named, modules);
    const count = (taken.get(module.name) ?? 0) + 1;
    taken.set(module.name, count);
    const name = count === 1 ? module.name : `${module.name}.${count}`;
    const { layer } = module;
    const { weight = null, stored = [] } = modules.get(tensor.weight ?? -1) ?? {};
    named.push({
      ...{ id, name, operation, layer, rows, cols, sources, multiplyAdds, weight, modules: stored },
      firstPosition: firstPosition(tensor, length),
    });
  }
  return named;
}

/** Rows of a pass are the last ones of its sequence; what the cache held begins at its start. */
function firstPosition({ operation, rows }: RecordedTensor, length: number): number | null {
  if (operation === "weight") return null;
  return operation === "cachedKeys" || operation === "cachedValues" ? 0 : length - rows;
}

/** @param named the tensors before this one */
function moduleOf(
  tensor: RecordedTensor,
  named: readonly TracedTensor[],
  modules: ReadonlyMap<number, WeightModule>,
): Module {
  const { operation, firstColumn } = tensor;
  const sources = tensor.sources.map((source) => named[source.tensor]);
  switch (operation) {
    case "weight": {
      const { name, layer } = moduleAt(tensor.weight, modules);
      return { name: `${name}.weight`, layer };
    }
    case "embed":
    case "addRowsAt":
    case "layerNorm":
    case "rmsNorm":
    case "linear":
      return moduleAt(tensor.weight, modules);
    case "columns": {
      // Halves of what is computed as one: K and V, or what a gated MLP multiplies.
      const [first, second] = sources[0].weight?.endsWith(".gateUp") ? ["gate", "up"] : ["k", "v"];
      return beside(sources[0], firstColumn === 0 ? first : second);
    }
    case "gatherRows":
      return { name: `${sources[0].name}.wanted`, layer: sources[0].layer };
    case "add":
      return beside(productOf(sources[1], named), "residual");
    case "activate":
    case "gate":
      return beside(sources[0], "act");
    case "rotate":
      return { name: `${sources[0].name}.rotated`, layer: sources[0].layer };
    case "scale":
      return { name: `${sources[0].name}.scaled`, layer: sources[0].layer };
    case "softcap":
      return { name: `${sources[0].name}.capped`, layer: sources[0].layer };
    default: {
      const query = [...modules.values()].find(({ weight }) => weight === `layers.${tensor.layer}.q`);
      if (query === undefined) throw new Error(`layer ${tensor.layer} has no queries`);
      return beside(query, operation);
    }
  }
}

/** The product that a tensor was made of, before it was normed and scaled. */
function productOf(tensor: TracedTensor, named: readonly TracedTensor[]): TracedTensor {
  let product = tensor;
  while (product.operation !== "linear") product = named[product.sources[0].tensor];
  return product;
}

/** In the same module, by another name: `h.0.mlp.act` beside `h.0.mlp.c_fc`. */
function beside({ name, layer }: Module, last: string): Module {
  return { name: name.replace(/[^.]+$/, last), layer };
}

function moduleAt(weight: number | null, modules: ReadonlyMap<number, WeightModule>): WeightModule {
  const module = modules.get(weight ?? -1);
  if (module === undefined) throw new Error(`no weight lies at ${weight}`);
  return module;
}

/** By the place of the weight. */
function modulesByOffset(
  rows: readonly TensorRow[],
  places: ReadonlyMap<WeightName, WeightPlace>,
): Map<number, WeightModule> {
  const modules = new Map<number, WeightModule>();
  for (const { name, to, traceName } of rows) {
    const place = places.get(to);
    if (place === undefined) continue;
    const offset = place.kind === "linear" ? place.parts[0].weight.offset : place.tensor.offset;
    const layer = /^layers\.(\d+)\./.exec(to);
    const module = withoutLast(name);
    const stored = new Set(modules.get(offset)?.stored).add(module);
    modules.set(offset, {
      name: traceName ?? module,
      layer: layer === null ? null : Number(layer[1]),
      weight: withoutLast(to),
      stored: [...stored],
    });
  }
  return modules;
}

/** `attn.c_attn` of `attn.c_attn.weight`; of a single part itself. */
function withoutLast(name: string): string {
  return name.replace(/\.[^.]+$/, "");
}
