/**
 * The working memory of a forward pass, which all layers share. In shape comments as in decoder.ts: T rows of a pass, N of
 * which are gathered when only they go on: as many as become logits at most.
 */
import { STRETCH, type Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE, layerGroups } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import { type DecoderSpec, kvShapeOf } from "./decoder-spec.js";
import { type ForwardBatchPlan, planForwardBatch } from "./forward-batch.js";

/** Places of the working tensors, for as many rows as a pass takes at most. */
export interface DecoderScratch {
  readonly x: Tensor; // (T, C) the residual stream
  readonly normed: Tensor; // (T, C)
  readonly q: Tensor; // (T, Q)
  readonly kv: Tensor; // (T, 2K)
  readonly attended: Tensor; // (T, Q)
  readonly up: Tensor; // (T, innerSize), twice as wide where the MLP is gated
  readonly scores: Tensor; // (rows that the kernels ask for, contextLength in whole blocks)
  readonly linear: Tensor; // (T, what the kernels ask for)
  /** For each rotation. */
  readonly angles: readonly AngleTables[];
  readonly wantedX: Tensor; // (N, C)
  readonly wantedNormed: Tensor; // (N, C)
  readonly logits: Tensor; // (N, V)
  /** For what chooses from the logits. */
  readonly maxima: Tensor; // (N, ⌈V / STRETCH⌉)
  readonly batch: ForwardBatchPlan;
}

/** Cosines and sines of each row, as `Kernels.rotate` takes them; d values of each head turn. */
export interface AngleTables {
  readonly all: Tensor; // (T, d)
  readonly wanted: Tensor; // (N, d)
}

/** Most that one forward pass takes. */
export interface DecoderLimits {
  readonly maxRows: number;
  readonly maxLogitsRows: number;
  readonly maxSequences: number;
}

/** Plans the working memory. */
export function planScratch(plan: MemoryPlan, spec: DecoderSpec, limits: DecoderLimits): DecoderScratch {
  const { hiddenSize: C, vocabSize: V } = spec;
  const { attention, mlp } = spec.layers[0];
  const queryWidth = attention.numHeads * attention.headDim;
  const kvWidth = 2 * attention.numKvHeads * attention.headDim;
  const { maxRows, maxLogitsRows } = limits;
  const blocksPerContext = Math.ceil(spec.contextLength / BLOCK_SIZE);
  return {
    x: plan.tensor(maxRows, C),
    normed: plan.tensor(maxRows, C),
    q: plan.tensor(maxRows, queryWidth),
    kv: plan.tensor(maxRows, kvWidth),
    attended: plan.tensor(maxRows, queryWidth),
    up: plan.tensor(maxRows, mlp.gated ? 2 * mlp.innerSize : mlp.innerSize),
    scores: plan.tensor(plan.scoreRows, blocksPerContext * BLOCK_SIZE),
    linear: plan.linearScratch(maxRows, Math.max(C, queryWidth, mlp.innerSize)),
    angles: spec.rotations.map(({ frequencies }) => ({
      all: plan.tensor(maxRows, 2 * frequencies.length),
      wanted: plan.tensor(maxLogitsRows, 2 * frequencies.length),
    })),
    wantedX: plan.tensor(maxLogitsRows, C),
    wantedNormed: plan.tensor(maxLogitsRows, C),
    logits: plan.tensor(maxLogitsRows, V),
    maxima: plan.tensor(maxLogitsRows, Math.ceil(V / STRETCH)),
    batch: planForwardBatch(plan, {
      ...limits,
      contextLength: spec.contextLength,
      groups: layerGroups(kvShapeOf(spec)),
    }),
  };
}
