/**
 * GPT-2's forward pass (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; names as in
 * OpenAI's checkpoint and Hugging Face's `modeling_gpt2.py`). Written against the kernels and nothing else, and fed
 * with rows: recomputing, decoding from the cache and prefilling in chunks differ only in which rows they feed.
 *
 * Owns its scratch memory and the count of rows that entered. In shape comments: T new rows, C hidden size, V vocabulary,
 * N rows whose logits are wanted.
 */
import { columns, type Kernels, type LinearWeight, rows, STRETCH, type Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { Gpt2Config } from "./config.js";
import { ForwardBatch, type ForwardBatchPlan, planForwardBatch } from "./forward-batch.js";

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
  readonly wantedNormed: Tensor; // (N, C)
  readonly wantedQ: Tensor; // (N, C)
  readonly logits: Tensor; // (N, V)
  /** For those who choose from the logits. */
  readonly maxima: Tensor; // (N, ⌈V / STRETCH⌉)
  readonly batch: ForwardBatchPlan;
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

/** Most that one forward pass takes. */
export interface Gpt2Limits {
  readonly maxRows: number;
  readonly maxLogitsRows: number;
  readonly maxSequences: number;
}

export function planGpt2Scratch(plan: MemoryPlan, config: Gpt2Config, limits: Gpt2Limits): Gpt2Scratch {
  const { hiddenSize: C } = config;
  const { maxRows, maxLogitsRows } = limits;
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
    wantedNormed: plan.tensor(maxLogitsRows, C),
    wantedQ: plan.tensor(maxLogitsRows, C),
    logits: plan.tensor(maxLogitsRows, config.vocabSize),
    maxima: plan.tensor(maxLogitsRows, Math.ceil(config.vocabSize / STRETCH)),
    batch: planForwardBatch(plan, { ...limits, blocksPerContext }),
  };
}

/** The first rows of every working tensor: what a pass over so many rows works in. */
interface ScratchRows {
  readonly x: Tensor; // (T, C)
  readonly normed: Tensor; // (T, C)
  readonly qkv: Tensor; // (T, 3C)
  readonly q: Tensor; // (T, C)
  readonly k: Tensor; // (T, C)
  readonly v: Tensor; // (T, C)
  /** K and V, and whatever else of `qkv` the kernels cannot leave out. */
  readonly kv: Tensor; // (T, about 2C)
  readonly attended: Tensor; // (T, C)
  readonly inner: Tensor; // (T, innerSize)
}

/** The same at the end of the last layer, for the rows whose logits are wanted. */
interface WantedRows extends Pick<ScratchRows, "x" | "normed" | "q" | "attended" | "inner"> {
  readonly logits: Tensor; // (N, V)
}

export class Gpt2 {
  readonly config: Gpt2Config;
  readonly scratch: Gpt2Scratch;
  /** What the next pass is fed with. */
  readonly batch: ForwardBatch;
  readonly #kernels: Kernels;
  readonly #weights: Gpt2Weights;
  /** The last layer's `c_attn` in two parts: Q, and K with V. */
  readonly #lastQ: LinearWeights;
  readonly #lastKv: LinearWeights & { readonly first: number };
  /** By number of rows; made when first needed, so that later passes allocate nothing. */
  readonly #rows: ScratchRows[] = [];
  readonly #wantedRows: WantedRows[] = [];
  #rowsComputed = 0;
  #logitsRowsComputed = 0;

  constructor(config: Gpt2Config, kernels: Kernels, weights: Gpt2Weights, scratch: Gpt2Scratch) {
    this.config = config;
    this.#kernels = kernels;
    this.#weights = weights;
    this.scratch = scratch;
    this.batch = new ForwardBatch(kernels, scratch.batch);
    const { hiddenSize: C } = config;
    const { weight, bias } = weights.h[config.numLayers - 1].attn.c_attn;
    const kv = kernels.columnsOf(weight, C, 2 * C);
    this.#lastQ = { weight: kernels.columnsOf(weight, 0, C).weight, bias: columns(bias, 0, C) };
    this.#lastKv = { ...kv, bias: columns(bias, kv.first, 3 * C - kv.first) };
  }

  /** Rows that have entered `forward`, over all calls. */
  get rowsComputed(): number {
    return this.#rowsComputed;
  }

  /**
   * Those of them whose logits were wanted. Only they went through the last layer's queries, attention, `c_proj` and MLP,
   * and through `lm_head`.
   */
  get logitsRowsComputed(): number {
    return this.#logitsRowsComputed;
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
   * Feeds the rows of `batch`: writes their K and V into the cache and computes the logits that are wanted.
   *
   * @returns (N, V), the wanted rows in the order of the batch; valid until the next call
   */
  forward(kv: KvLayout): Tensor {
    const { config, batch } = this;
    const kernels = this.#kernels;
    const { wte, wpe, ln_f, lm_head } = this.#weights;
    const T = batch.numRows;
    const N = batch.numWanted;
    this.#rowsComputed += T;
    this.#logitsRowsComputed += N;
    const all = this.#scratchRows(T);
    const wanted = this.#scratchOfWanted(N);

    kernels.embed(all.x, batch.tokenIds, wte); // x (T, C)
    kernels.addRowsAt(all.x, batch.positions, wpe);
    const last = config.numLayers - 1;
    for (let layer = 0; layer < last; layer++) this.#wholeLayer(layer, all, kv);
    // Past the last layer's K and V only the rows whose logits are wanted matter: every later stage is row by row.
    const goesOn = N === T ? all : wanted;
    if (N === T) this.#wholeLayer(last, all, kv);
    else this.#lastLayer(all, wanted, kv);
    if (N === 0) return wanted.logits;

    kernels.layerNorm(wanted.normed, goesOn.x, ln_f.weight, ln_f.bias, config.layerNormEpsilon); // (N, C)
    kernels.linear(wanted.logits, wanted.normed, lm_head, null, this.scratch.linear); // (N, V)
    return wanted.logits;
  }

  /**
   * Writes rows of K and V that are known already into the cache, which must be of f32. Works where `forward` works, so not
   * while that does.
   * @param keys (R, numKvHeads, headDim) f32, as bytes; so `values`
   * @param slots (R) where each row belongs: block id · 16 + position in the block; at most `maxRows`
   */
  writeKnownRows(
    kv: KvLayout,
    layer: number,
    { keys, values }: { readonly keys: Uint8Array; readonly values: Uint8Array },
    slots: readonly number[],
  ): void {
    const kernels = this.#kernels;
    const { normed, attended, batch } = this.scratch;
    const cols = kv.numKvHeads * kv.headDim;
    const tensorOf = ({ offset }: Tensor, bytes: Uint8Array): Tensor => {
      kernels.u8(offset, bytes.length).set(bytes);
      return { offset, rows: slots.length, cols, stride: cols }; // (R, numKvHeads · headDim)
    };
    const at = { offset: batch.slots.offset, length: slots.length };
    kernels.i32(at.offset, at.length).set(slots);
    kernels.writeKv(kv, layer, tensorOf(normed, keys), tensorOf(attended, values), at);
  }

  /** A layer for all rows. */
  #wholeLayer(layer: number, all: ScratchRows, kv: KvLayout): void {
    const { batch } = this;
    const kernels = this.#kernels;
    const { ln_1, attn } = this.#weights.h[layer];
    kernels.layerNorm(all.normed, all.x, ln_1.weight, ln_1.bias, this.config.layerNormEpsilon); // (T, C)
    kernels.linear(all.qkv, all.normed, attn.c_attn.weight, attn.c_attn.bias, this.scratch.linear); // (T, 3C)
    kernels.writeKv(kv, layer, all.k, all.v, batch.slots);
    this.#attend(layer, all, batch, kv);
    this.#mlp(layer, all);
  }

  /** The last layer: K and V of all rows, everything else of the wanted ones. */
  #lastLayer(all: ScratchRows, wanted: WantedRows, kv: KvLayout): void {
    const { batch, scratch } = this;
    const kernels = this.#kernels;
    const layer = this.config.numLayers - 1;
    const { ln_1 } = this.#weights.h[layer];
    kernels.layerNorm(all.normed, all.x, ln_1.weight, ln_1.bias, this.config.layerNormEpsilon); // (T, C)
    kernels.linear(all.kv, all.normed, this.#lastKv.weight, this.#lastKv.bias, scratch.linear); // (T, 2C)
    kernels.writeKv(kv, layer, all.k, all.v, batch.slots);
    if (batch.numWanted === 0) return;
    kernels.gatherRows(wanted.x, all.x, batch.wantedRows); // (N, C)
    kernels.gatherRows(wanted.normed, all.normed, batch.wantedRows); // (N, C)
    kernels.linear(wanted.q, wanted.normed, this.#lastQ.weight, this.#lastQ.bias, scratch.linear); // (N, C)
    const { wantedPositions: positions, wantedSequences: sequences } = batch;
    this.#attend(layer, wanted, { positions, sequences }, kv);
    this.#mlp(layer, wanted);
  }

  /** x += c_proj(attention of q over the cached keys and values). */
  #attend(
    layer: number,
    { x, q, attended, normed }: WantedRows | ScratchRows,
    { positions, sequences }: Pick<ForwardBatch, "positions" | "sequences">,
    kv: KvLayout,
  ): void {
    const { scratch, config } = this;
    const kernels = this.#kernels;
    const { c_proj } = this.#weights.h[layer].attn;
    kernels.attention({
      q,
      out: attended, // (R, C) for R rows: T or N
      numHeads: config.numHeads,
      kv,
      layer,
      sequences,
      positions,
      scale: attentionScale(config, layer),
      scratch: scratch.scores,
    });
    kernels.linear(normed, attended, c_proj.weight, c_proj.bias, scratch.linear); // (R, C)
    kernels.add(x, normed);
  }

  /** x += c_proj(activation(c_fc(layer norm of x))). */
  #mlp(layer: number, { x, normed, inner, attended }: WantedRows | ScratchRows): void {
    const { scratch, config } = this;
    const kernels = this.#kernels;
    const { ln_2, mlp } = this.#weights.h[layer];
    kernels.layerNorm(normed, x, ln_2.weight, ln_2.bias, config.layerNormEpsilon); // (R, C)
    kernels.linear(inner, normed, mlp.c_fc.weight, mlp.c_fc.bias, scratch.linear); // (R, innerSize)
    kernels.activate(inner, config.activation);
    kernels.linear(attended, inner, mlp.c_proj.weight, mlp.c_proj.bias, scratch.linear); // (R, C)
    kernels.add(x, attended);
  }

  #scratchRows(T: number): ScratchRows {
    const { scratch, config } = this;
    const { hiddenSize: C } = config;
    const { first } = this.#lastKv;
    const known = this.#rows[T];
    if (known !== undefined) return known;
    const qkv = rows(scratch.qkv, 0, T);
    const made = {
      x: rows(scratch.x, 0, T),
      normed: rows(scratch.normed, 0, T),
      qkv,
      q: columns(qkv, 0, C),
      k: columns(qkv, C, C),
      v: columns(qkv, 2 * C, C),
      kv: columns(qkv, first, 3 * C - first),
      attended: rows(scratch.attended, 0, T),
      inner: rows(scratch.inner, 0, T),
    };
    this.#rows[T] = made;
    return made;
  }

  #scratchOfWanted(N: number): WantedRows {
    const { scratch } = this;
    this.#wantedRows[N] ??= {
      x: rows(scratch.wantedX, 0, N),
      normed: rows(scratch.wantedNormed, 0, N),
      q: rows(scratch.wantedQ, 0, N),
      attended: rows(scratch.attended, 0, N),
      inner: rows(scratch.inner, 0, N),
      logits: rows(scratch.logits, 0, N),
    };
    return this.#wantedRows[N];
  }
}

/** The factor on the scores of a layer, rounded to f32: 1/√headDim and 1/(layer + 1), each if the config says so. */
function attentionScale(config: Gpt2Config, layer: number): number {
  let scale = 1;
  if (config.scaleAttnWeights) scale /= Math.sqrt(config.headDim);
  if (config.scaleAttnByInverseLayerIdx) scale /= layer + 1;
  return Math.fround(scale);
}
