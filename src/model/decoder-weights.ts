/**
 * The weights of a decoder as places in the kernels' memory. Q is apart from K and V, which are one matrix: in the last
 * layer K and V are made of every row, Q of few.
 */
import type { LinearWeight, Tensor } from "../kernels/kernels.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { DecoderSpec, LayerSpec, WeightName } from "./decoder-spec.js";

export interface NormWeights {
  readonly gain: Tensor; // (1, C)
  readonly bias: Tensor; // (1, C)
}

export interface LinearWeights {
  readonly weight: LinearWeight; // (in, out)
  readonly bias: Tensor; // (1, out)
}

/** Q is numHeads · headDim wide, K and V numKvHeads · headDim each. */
interface LayerWeights {
  readonly attentionNorm: NormWeights;
  readonly q: LinearWeights; // (C, Q)
  readonly kv: LinearWeights; // (C, K + V): first all of K, then all of V
  readonly o: LinearWeights; // (Q, C)
  readonly mlpNorm: NormWeights;
  readonly up: LinearWeights; // (C, innerSize)
  readonly down: LinearWeights; // (innerSize, C)
}

export interface DecoderWeights {
  readonly embedding: LinearWeight; // (C, V): transposed
  readonly positions: Tensor; // (learnedPositions, C)
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: NormWeights;
  readonly head: LinearWeight; // (C, V): `embedding` itself when tied
}

/** A place that a tensor's rows are packed into. */
export type WeightPlace =
  | { readonly kind: "linear"; readonly weight: LinearWeight }
  | { readonly kind: "rows"; readonly tensor: Tensor };

export interface PlannedWeights {
  readonly weights: DecoderWeights;
  /** Every weight once; a tied head is the embedding's. */
  readonly places: ReadonlyMap<WeightName, WeightPlace>;
}

/** Plans the places of all weights. */
export function planWeights(plan: MemoryPlan, spec: DecoderSpec): PlannedWeights {
  const { hiddenSize: C, vocabSize: V } = spec;
  const places = new Map<WeightName, WeightPlace>();
  const rows = (name: WeightName, count: number, cols: number): Tensor => {
    const tensor = plan.tensor(count, cols);
    places.set(name, { kind: "rows", tensor });
    return tensor;
  };
  const matrix = (name: WeightName, inFeatures: number, outFeatures: number): LinearWeight => {
    const weight = plan.linear(inFeatures, outFeatures);
    places.set(name, { kind: "linear", weight });
    return weight;
  };
  const layerWeights = ({ attention, mlp }: LayerSpec, i: number): LayerWeights => {
    const norm = (name: "attentionNorm" | "mlpNorm"): NormWeights => ({
      gain: rows(`layers.${i}.${name}.gain`, 1, C),
      bias: rows(`layers.${i}.${name}.bias`, 1, C),
    });
    const linear = (
      name: "q" | "kv" | "o" | "up" | "down",
      inFeatures: number,
      outFeatures: number,
    ): LinearWeights => ({
      weight: matrix(`layers.${i}.${name}.weight`, inFeatures, outFeatures),
      bias: rows(`layers.${i}.${name}.bias`, 1, outFeatures),
    });
    const queryWidth = attention.numHeads * attention.headDim;
    return {
      attentionNorm: norm("attentionNorm"),
      q: linear("q", C, queryWidth),
      kv: linear("kv", C, 2 * attention.numKvHeads * attention.headDim),
      o: linear("o", queryWidth, C),
      mlpNorm: norm("mlpNorm"),
      up: linear("up", C, mlp.innerSize),
      down: linear("down", mlp.innerSize, C),
    };
  };
  const embedding = matrix("embedding", C, V);
  const positions = rows("positions", spec.learnedPositions, C);
  const layers = spec.layers.map(layerWeights);
  const finalNorm = { gain: rows("finalNorm.gain", 1, C), bias: rows("finalNorm.bias", 1, C) };
  const head = spec.tied ? embedding : matrix("head", C, V);
  return { weights: { embedding, positions, layers, finalNorm, head }, places };
}
