/**
 * GPT-2's forward pass (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; names as in
 * OpenAI's checkpoint and Hugging Face's `modeling_gpt2.py`). Written against the kernels and nothing else, and fed
 * with rows: recomputing, decoding from the cache and prefilling in chunks differ only in which rows they feed.
 *
 * Owns its scratch memory and the count of rows that entered. In shape comments: T new rows, C hidden size, V vocabulary,
 * N rows whose logits are wanted.
 */
import {
  columns,
  type IndexList,
  type Kernels,
  type LinearWeight,
  rows,
  type Tensor,
} from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { Gpt2Config } from "./config.js";
import type { ForwardBatch, SequenceRows } from "./forward-batch.js";

export interface LayerNormWeights {
  readonly weight: Tensor; // (1, C)
  readonly bias: Tensor; // (1, C)
}

export interface LinearWeights {
  readonly weight: LinearWeight; // (in, out)
  readonly bias: Tensor; // (1, out)
}

interface Gpt2Layer {
  readonly ln_1: LayerNormWeights;
  readonly attn: { readonly c_attn: LinearWeights; readonly c_proj: LinearWeights };
  readonly ln_2: LayerNormWeights;
  readonly mlp: { readonly c_fc: LinearWeights; readonly c_proj: LinearWeights };
}

/** The checkpoint's tensors, by the checkpoint's names, as places in the kernels' memory. */
export interface Gpt2Weights {
  readonly wte: LinearWeight; // (C, V): the transposed embedding
  readonly wpe: Tensor; // (contextLength, C)
  readonly h: readonly Gpt2Layer[];
  readonly ln_f: LayerNormWeights;
  readonly lm_head: LinearWeight; // (C, V): `wte` itself when tied
}

/** Working memory of a forward pass over at most `maxRows` rows, `maxLogitsRows` of which become logits. */
export interface Gpt2Scratch {
  readonly x: Tensor; // (T, C) the residual stream
  readonly normed: Tensor; // (T, C)
  readonly qkv: Tensor; // (T, 3C)
  readonly attended: Tensor; // (T, C)
  readonly inner: Tensor; // (T, innerSize)
  readonly scores: Tensor; // (rows that the kernels ask for, contextLength in whole blocks)
  readonly linear: Tensor; // (T, what the kernels ask for)
  readonly wantedX: Tensor; // (N, C)
  readonly wantedQ: Tensor; // (N, C)
  readonly logits: Tensor; // (N, V)
  readonly tokenIds: IndexList;
  readonly positions: IndexList;
  readonly slots: IndexList;
  readonly wantedRows: IndexList;
  readonly wantedPositions: IndexList;
  readonly blockTable: IndexList;
}

export function planGpt2Weights(plan: MemoryPlan, config: Gpt2Config): Gpt2Weights {
  const { hiddenSize: C, innerSize, vocabSize: V } = config;
  const layerNorm = (): LayerNormWeights => ({ weight: plan.tensor(1, C), bias: plan.tensor(1, C) });
  const linear = (inFeatures: number, outFeatures: number): LinearWeights => ({
    weight: plan.linear(inFeatures, outFeatures),
    bias: plan.tensor(1, outFeatures),
  });
  const wte = plan.linear(C, V);
  const wpe = plan.tensor(config.contextLength, C);
  const h = Array.from({ length: config.numLayers }, () => ({
    ln_1: layerNorm(),
    attn: { c_attn: linear(C, 3 * C), c_proj: linear(C, C) },
    ln_2: layerNorm(),
    mlp: { c_fc: linear(C, innerSize), c_proj: linear(innerSize, C) },
  }));
  const ln_f = layerNorm();
  return { wte, wpe, h, ln_f, lm_head: config.tieWordEmbeddings ? wte : plan.linear(C, V) };
}

export function planGpt2Scratch(
  plan: MemoryPlan,
  config: Gpt2Config,
  maxRows: number,
  maxLogitsRows: number,
): Gpt2Scratch {
  const { hiddenSize: C } = config;
  const blocksPerContext = Math.ceil(config.contextLength / BLOCK_SIZE);
  return {
    x: plan.tensor(maxRows, C),
    normed: plan.tensor(maxRows, C),
    qkv: plan.tensor(maxRows, 3 * C),
    attended: plan.tensor(maxRows, C),
    inner: plan.tensor(maxRows, config.innerSize),
    scores: plan.tensor(plan.scoreRows, blocksPerContext * BLOCK_SIZE),
    linear: plan.linearScratch(maxRows, Math.max(C, config.innerSize)),
    wantedX: plan.tensor(maxLogitsRows, C),
    wantedQ: plan.tensor(maxLogitsRows, C),
    logits: plan.tensor(maxLogitsRows, config.vocabSize),
    tokenIds: plan.indices(maxRows),
    positions: plan.indices(maxRows),
    slots: plan.indices(maxRows),
    wantedRows: plan.indices(maxLogitsRows),
    wantedPositions: plan.indices(maxLogitsRows),
    blockTable: plan.indices(blocksPerContext),
  };
}

export class Gpt2 {
  readonly config: Gpt2Config;
  readonly scratch: Gpt2Scratch;
  readonly #kernels: Kernels;
  readonly #weights: Gpt2Weights;
  #rowsComputed = 0;

  constructor(config: Gpt2Config, kernels: Kernels, weights: Gpt2Weights, scratch: Gpt2Scratch) {
    this.config = config;
    this.#kernels = kernels;
    this.#weights = weights;
    this.scratch = scratch;
  }

  /** Rows that have entered `forward`, over all calls. */
  get rowsComputed(): number {
    return this.#rowsComputed;
  }

  /** Most rows that one call of `forward` takes. */
  get maxRows(): number {
    return this.scratch.x.rows;
  }

  /** Most rows of logits that one call of `forward` gives. */
  get maxLogitsRows(): number {
    return this.scratch.logits.rows;
  }

  /**
   * Feeds new rows: writes their K and V into the cache and computes the logits that are wanted.
   *
   * @returns (N, V), the wanted rows in the order of the batch; valid until the next call
   */
  forward(batch: ForwardBatch, kv: KvLayout): Tensor {
    const { config, scratch } = this;
    const kernels = this.#kernels;
    const { wte, wpe, h, ln_f, lm_head } = this.#weights;
    const { hiddenSize: C } = config;
    const T = batch.tokenIds.length;
    this.#rowsComputed += T;

    const tokenIds = this.#fill(scratch.tokenIds, batch.tokenIds);
    const positions = this.#fill(scratch.positions, batch.positions);
    const slots = this.#fill(scratch.slots, batch.slotMapping);
    const wanted = wantedRows(batch.sequences);
    const wantedRowList = this.#fill(scratch.wantedRows, wanted);

    let x = rows(scratch.x, 0, T); // (T, C)
    kernels.embed(x, tokenIds, wte);
    kernels.addRowsAt(x, positions, wpe);

    for (let layer = 0; layer < config.numLayers; layer++) {
      const { ln_1, attn, ln_2, mlp } = h[layer];
      const normed = rows(scratch.normed, 0, T); // (T, C)
      kernels.layerNorm(normed, x, ln_1.weight, ln_1.bias, config.layerNormEpsilon);
      const qkv = rows(scratch.qkv, 0, T); // (T, 3C)
      kernels.linear(qkv, normed, attn.c_attn.weight, attn.c_attn.bias, scratch.linear);
      kernels.writeKv(kv, layer, columns(qkv, C, C), columns(qkv, 2 * C, C), slots);

      let q = columns(qkv, 0, C); // (T, C)
      let sequences = batch.sequences;
      let queryPositions = positions;
      // Past the last layer's K and V only the rows whose logits are wanted matter: every later stage is row by row.
      if (layer === config.numLayers - 1 && wanted.length < T) {
        const N = wanted.length;
        if (N === 0) break;
        const wantedX = rows(scratch.wantedX, 0, N);
        kernels.gatherRows(wantedX, x, wantedRowList);
        const wantedQ = rows(scratch.wantedQ, 0, N);
        kernels.gatherRows(wantedQ, q, wantedRowList);
        x = wantedX; // (N, C)
        q = wantedQ; // (N, C)
        queryPositions = this.#fill(
          scratch.wantedPositions,
          wanted.map((row) => batch.positions[row]),
        );
        sequences = sequences.map((s) => ({ ...s, newTokens: wantedCount(s) }));
      }

      const R = x.rows; // T, or N at the end of the last layer
      const attended = rows(scratch.attended, 0, R); // (R, C)
      this.#attend({ q, out: attended, queryPositions, sequences, kv, layer });
      const projected = rows(scratch.normed, 0, R); // (R, C)
      kernels.linear(projected, attended, attn.c_proj.weight, attn.c_proj.bias, scratch.linear);
      kernels.add(x, projected);

      const normed2 = rows(scratch.normed, 0, R); // (R, C)
      kernels.layerNorm(normed2, x, ln_2.weight, ln_2.bias, config.layerNormEpsilon);
      const inner = rows(scratch.inner, 0, R); // (R, innerSize)
      kernels.linear(inner, normed2, mlp.c_fc.weight, mlp.c_fc.bias, scratch.linear);
      kernels.activate(inner, config.activation);
      const mlpOut = rows(scratch.attended, 0, R); // (R, C)
      kernels.linear(mlpOut, inner, mlp.c_proj.weight, mlp.c_proj.bias, scratch.linear);
      kernels.add(x, mlpOut);
    }

    const logits = rows(scratch.logits, 0, wanted.length); // (N, V)
    if (wanted.length > 0) {
      const normed = rows(scratch.normed, 0, wanted.length); // (N, C)
      kernels.layerNorm(normed, x, ln_f.weight, ln_f.bias, config.layerNormEpsilon);
      kernels.linear(logits, normed, lm_head, null, scratch.linear);
    }
    return logits;
  }

  /** Attention of each sequence's queries over its own blocks. */
  #attend(call: {
    q: Tensor;
    out: Tensor;
    queryPositions: IndexList;
    sequences: readonly SequenceRows[];
    kv: KvLayout;
    layer: number;
  }): void {
    const { q, out, queryPositions, sequences, kv, layer } = call;
    const scale = attentionScale(this.config, layer);
    let row = 0;
    for (const sequence of sequences) {
      this.#kernels.attention({
        q: rows(q, row, sequence.newTokens),
        out: rows(out, row, sequence.newTokens),
        numHeads: this.config.numHeads,
        kv,
        layer,
        blockTable: this.#fill(this.scratch.blockTable, sequence.blockTable),
        positions: { offset: queryPositions.offset + 4 * row, length: sequence.newTokens },
        scale,
        scratch: this.scratch.scores,
      });
      row += sequence.newTokens;
    }
  }

  #fill(list: IndexList, values: readonly number[]): IndexList {
    this.#kernels.i32(list.offset, list.length).set(values);
    return { offset: list.offset, length: values.length };
  }
}

/** The factor on the scores of a layer, rounded to f32: 1/√headDim and 1/(layer + 1), each if the config says so. */
function attentionScale(config: Gpt2Config, layer: number): number {
  let scale = 1;
  if (config.scaleAttnWeights) scale /= Math.sqrt(config.headDim);
  if (config.scaleAttnByInverseLayerIdx) scale /= layer + 1;
  return Math.fround(scale);
}

function wantedCount(sequence: SequenceRows): number {
  if (sequence.wantsLogits === "all") return sequence.newTokens;
  return sequence.wantsLogits === "last" ? Math.min(1, sequence.newTokens) : 0;
}

/** Rows of the batch whose logits are wanted, ascending. */
function wantedRows(sequences: readonly SequenceRows[]): number[] {
  const wanted: number[] = [];
  let end = 0;
  for (const sequence of sequences) {
    end += sequence.newTokens;
    for (let row = end - wantedCount(sequence); row < end; row++) wanted.push(row);
  }
  return wanted;
}
