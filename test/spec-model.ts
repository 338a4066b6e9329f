/** Models of any `DecoderSpec` with random weights, whatever family has it or none, loaded below configs and families. */
import { planRandomCheckpoint, type RandomWeightOptions } from "../scripts/random-checkpoint.js";
import { gpt2 } from "../src/architectures/gpt2.js";
import { matchTensors } from "../src/architectures/match-tensors.js";
import type { Trace } from "../src/explain/trace.js";
import { type TracedPass, traceDecoder } from "../src/explain/trace-forward.js";
import { openCheckpoint } from "../src/formats/checkpoint.js";
import { modelConfig } from "../src/model/config.js";
import type { DecoderSpec, NormSpec, TensorRow, WeightName } from "../src/model/decoder-spec.js";
import { type AssembledModel, type AssembledOptions, assembleModel } from "./assembled-model.js";
import { memoryFiles } from "./memory-files.js";
import { joined } from "./random-model.js";

/** A list of tensors that makes all weights of a decoder: each of one tensor, but those of K and V, and of gate and up. */
export function plainTensors(spec: DecoderSpec): TensorRow[] {
  const { hiddenSize: C, vocabSize: V } = spec;
  const rows: TensorRow[] = [];
  const matrix = (to: WeightName, shape: readonly [number, number], at = 0, name: string = to) =>
    rows.push({ name, shape, to, order: "out-in", at });
  const vector = (to: WeightName, width: number, at = 0, name: string = to) =>
    rows.push({ name, shape: [width], to, at });
  const norm = (
    to:
      | `layers.${number}.${"attention" | "mlp"}${"Norm" | "NormAfter"}`
      | `layers.${number}.${"query" | "key"}Norm`
      | "finalNorm",
    of: NormSpec | null,
    width = C,
  ) => {
    if (of === null) return;
    vector(`${to}.gain`, width);
    if (of.kind === "layer") vector(`${to}.bias`, width);
  };
  matrix("embedding", [V, C]);
  if (spec.learnedPositions > 0)
    rows.push({ name: "positions", shape: [spec.learnedPositions, C], to: "positions" });
  spec.layers.forEach(({ attention, mlp }, i) => {
    const { headDim, numHeads, numKvHeads, bias, qkNorm } = attention;
    const [Q, K] = [numHeads * headDim, numKvHeads * headDim];
    const linear = (
      place: "q" | "kv" | "o" | "up" | "gateUp" | "down",
      [n, k]: readonly [number, number],
      hasBias: boolean,
      part = place as string,
      at = 0,
    ) => {
      matrix(`layers.${i}.${place}.weight`, [n, k], at, `layers.${i}.${part}.weight`);
      if (hasBias) vector(`layers.${i}.${place}.bias`, n, at, `layers.${i}.${part}.bias`);
    };
    norm(`layers.${i}.attentionNorm`, attention.norm);
    linear("q", [Q, C], bias.qkv);
    linear("kv", [K, C], bias.qkv, "k");
    linear("kv", [K, C], bias.qkv, "v", K);
    norm(`layers.${i}.queryNorm`, qkNorm?.norm ?? null, qkNorm?.over === "head" ? headDim : Q);
    norm(`layers.${i}.keyNorm`, qkNorm?.norm ?? null, qkNorm?.over === "head" ? headDim : K);
    linear("o", [C, Q], bias.o);
    norm(`layers.${i}.attentionNormAfter`, attention.normAfter);
    norm(`layers.${i}.mlpNorm`, mlp.norm);
    if (mlp.gated) {
      linear("gateUp", [mlp.innerSize, C], mlp.bias, "gate");
      linear("gateUp", [mlp.innerSize, C], mlp.bias, "up", mlp.innerSize);
    } else linear("up", [mlp.innerSize, C], mlp.bias);
    linear("down", [C, mlp.innerSize], mlp.bias);
    norm(`layers.${i}.mlpNormAfter`, mlp.normAfter);
  });
  norm("finalNorm", spec.finalNorm);
  if (!spec.tied) matrix("head", [V, C]);
  return rows;
}

/** The files of a random checkpoint of a decoder, whose config says nothing. */
export function specFiles(spec: DecoderSpec, options: RandomWeightOptions = {}): Record<string, Uint8Array> {
  const checkpoint = { config: {}, generationConfig: {}, rows: plainTensors(spec) };
  // Large weights: every logit depends much on every earlier token.
  const files = planRandomCheckpoint(
    { ...checkpoint, fileName: ({ name }) => name },
    { std: 0.5, ...options },
  );
  return Object.fromEntries(files.map(({ name, size, pieces }) => [name, joined(size, pieces())]));
}

/** Loads such files. */
export async function loadSpec(
  spec: DecoderSpec,
  files: Record<string, Uint8Array>,
  options: AssembledOptions = {},
): Promise<AssembledModel> {
  const checkpoint = await openCheckpoint(memoryFiles("spec", files));
  const family = { ...gpt2, name: "the decoder", prefixes: [], ignored: /^$/, tensors: plainTensors };
  const { decoder, tensors } = matchTensors(checkpoint, family, spec);
  return assembleModel(decoder, [...tensors.values()], options);
}

/** A trace of a decoder that may be of no family. */
export function plainTrace(decoder: DecoderSpec, pass: TracedPass): Trace {
  const { tokens, numCachedTokens = 0 } = pass;
  const rest = {
    modelType: "none",
    maxContextLength: decoder.contextLength,
    bosTokenId: null,
    eosTokenIds: [],
  };
  const tensors = traceDecoder(decoder, plainTensors, pass);
  return { config: modelConfig(decoder, rest), tokens, numCachedTokens, tensors };
}
