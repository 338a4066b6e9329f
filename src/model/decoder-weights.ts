/**
 * The weights of a decoder as places in the kernels' memory. Q is apart from K and V, which are one matrix: in the last
 * layer K and V are made of every row, Q of few.
 */
import type { LinearWeight, Tensor } from "../kernels/kernels.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { DecoderSpec, LayerSpec, LinearName, NormName, NormSpec, WeightName } from "./decoder-spec.js";
import { allOf, type DtypesOf } from "./weight-dtypes.js";

export interface NormWeights {
  readonly gain: Tensor; // (1, width)
  readonly bias: Tensor | null; // (1, width)
}

/** Outputs of a matrix that lie together, in one type: the first of them is output `at`. */
export interface LinearPart {
  readonly at: number;
  readonly weight: LinearWeight; // (in, its outputs)
}

export interface LinearWeights {
  /** All outputs in their order; one part, unless a file stores some of them in a quantised type and others in another. */
  readonly parts: readonly LinearPart[]; // (in, out)
  readonly bias: Tensor | null; // (1, out)
}

/** Q is numHeads · headDim wide, K and V numKvHeads · headDim each. A norm that the layer does not have is null. */
interface LayerWeights {
  readonly attentionNorm: NormWeights | null; // C
  readonly q: LinearWeights; // (C, Q)
  readonly kv: LinearWeights; // (C, K + V): first all of K, then all of V
  readonly queryNorm: NormWeights | null; // headDim or Q
  readonly keyNorm: NormWeights | null; // headDim or K
  readonly o: LinearWeights; // (Q, C)
  readonly attentionNormAfter: NormWeights | null; // C
  readonly mlpNorm: NormWeights | null; // C
  /** Gated: (C, 2 · innerSize), first the gate. */
  readonly up: LinearWeights; // (C, innerSize)
  readonly down: LinearWeights; // (innerSize, C)
  readonly mlpNormAfter: NormWeights | null; // C
}

export interface DecoderWeights {
  readonly embedding: LinearWeight; // (C, V): transposed
  readonly positions: Tensor | null; // (learnedPositions, C)
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: NormWeights;
  readonly head: LinearWeight; // (C, V): `embedding` itself when tied
}

/** A place that a tensor's rows are packed into. */
export type WeightPlace =
  | { readonly kind: "linear"; readonly parts: readonly LinearPart[] }
  | { readonly kind: "vector"; readonly tensor: Tensor } // (1, width)
  | { readonly kind: "table"; readonly tensor: Tensor };

export interface PlannedWeights {
  readonly weights: DecoderWeights;
  /** Every weight once; a tied head is the embedding's. */
  readonly places: ReadonlyMap<WeightName, WeightPlace>;
}

/**
 * Plans the places of all weights.
 * @param dtypesOf the types of a matrix of products; all other weights are f32
 */
export function planWeights(
  plan: MemoryPlan,
  spec: DecoderSpec,
  dtypesOf: DtypesOf = allOf("f32"),
): PlannedWeights {
  const { hiddenSize: C, vocabSize: V } = spec;
  const places = new Map<WeightName, WeightPlace>();
  const vector = (name: WeightName, width: number): Tensor => {
    const tensor = plan.tensor(1, width);
    places.set(name, { kind: "vector", tensor });
    return tensor;
  };
  const table = (name: WeightName, rows: number, cols: number): Tensor => {
    const tensor = plan.tensor(rows, cols);
    places.set(name, { kind: "table", tensor });
    return tensor;
  };
  const matrix = (name: WeightName, inFeatures: number, outFeatures: number): readonly LinearPart[] => {
    const parts = dtypesOf(name, outFeatures).map(({ at, count, dtype }) => ({
      at,
      weight: plan.linear(inFeatures, count, dtype),
    }));
    places.set(name, { kind: "linear", parts });
    return parts;
  };
  /** One that rows are looked up in, or that makes logits: a tensor of its own. */
  const wholeMatrix = (name: WeightName, inFeatures: number, outFeatures: number): LinearWeight => {
    const [{ weight }, ...others] = matrix(name, inFeatures, outFeatures);
    if (others.length > 0) throw new Error(`weight ${name} is made of tensors of several types`);
    return weight;
  };
  const norm = (name: `layers.${number}.${NormName}` | "finalNorm", { kind }: NormSpec, width: number) => ({
    gain: vector(`${name}.gain`, width),
    bias: kind === "layer" ? vector(`${name}.bias`, width) : null,
  });
  const layerWeights = ({ attention, mlp }: LayerSpec, i: number): LayerWeights => {
    const normOf = (name: NormName, of: NormSpec | null, width = C): NormWeights | null =>
      of === null ? null : norm(`layers.${i}.${name}`, of, width);
    const linear = (name: LinearName, inFeatures: number, outFeatures: number, bias: boolean) => ({
      parts: matrix(`layers.${i}.${name}.weight`, inFeatures, outFeatures),
      bias: bias ? vector(`layers.${i}.${name}.bias`, outFeatures) : null,
    });
    const { numHeads, numKvHeads, headDim, qkNorm, bias } = attention;
    const [queryWidth, keyWidth] = [numHeads * headDim, numKvHeads * headDim];
    const qkNormSpec = qkNorm?.norm ?? null;
    const byHead = qkNorm?.over === "head";
    const { innerSize } = mlp;
    return {
      attentionNorm: normOf("attentionNorm", attention.norm),
      q: linear("q", C, queryWidth, bias.qkv),
      kv: linear("kv", C, 2 * keyWidth, bias.qkv),
      queryNorm: normOf("queryNorm", qkNormSpec, byHead ? headDim : queryWidth),
      keyNorm: normOf("keyNorm", qkNormSpec, byHead ? headDim : keyWidth),
      o: linear("o", queryWidth, C, bias.o),
      attentionNormAfter: normOf("attentionNormAfter", attention.normAfter),
      mlpNorm: normOf("mlpNorm", mlp.norm),
      up: mlp.gated ? linear("gateUp", C, 2 * innerSize, mlp.bias) : linear("up", C, innerSize, mlp.bias),
      down: linear("down", innerSize, C, mlp.bias),
      mlpNormAfter: normOf("mlpNormAfter", mlp.normAfter),
    };
  };
  const embedding = wholeMatrix("embedding", C, V);
  const positions = spec.learnedPositions > 0 ? table("positions", spec.learnedPositions, C) : null;
  const layers = spec.layers.map(layerWeights);
  const finalNorm = norm("finalNorm", spec.finalNorm, C);
  const head = spec.tied ? embedding : wholeMatrix("head", C, V);
  return { weights: { embedding, positions, layers, finalNorm, head }, places };
}
