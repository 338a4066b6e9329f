/**
 * The forward pass of a decoder-only transformer, as its `DecoderSpec` says (GPT-2: Radford et al., "Language Models are
 * Unsupervised Multitask Learners", 2019, and Hugging Face's `modeling_gpt2.py`). Written against the kernels and nothing
 * else, and fed with rows: recomputing, decoding from the cache and prefilling in chunks differ only in which rows they
 * feed.
 *
 * Owns its working memory and the count of rows that entered. In shape comments: T new rows, N rows whose logits are
 * wanted, R rows of either kind; C hidden size, V vocabulary, Q all heads of queries, K all heads of keys.
 */
import { columns, type Kernels, rows, STRETCH, type Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { DecoderSpec, NormSpec } from "./decoder-spec.js";
import type { DecoderWeights, LinearWeights, NormWeights } from "./decoder-weights.js";
import { ForwardBatch, type ForwardBatchPlan, planForwardBatch } from "./forward-batch.js";

/** Working memory of a forward pass over at most `maxRows` rows, `maxLogitsRows` of which become logits. */
export interface DecoderScratch {
  readonly x: Tensor; // (T, C) the residual stream
  readonly normed: Tensor; // (T, C)
  readonly q: Tensor; // (T, Q)
  readonly kv: Tensor; // (T, 2K)
  readonly attended: Tensor; // (T, Q)
  readonly inner: Tensor; // (T, innerSize)
  readonly scores: Tensor; // (rows that the kernels ask for, contextLength in whole blocks)
  readonly linear: Tensor; // (T, what the kernels ask for)
  readonly wantedX: Tensor; // (N, C)
  readonly wantedNormed: Tensor; // (N, C)
  readonly logits: Tensor; // (N, V)
  /** For what chooses from the logits. */
  readonly maxima: Tensor; // (N, ⌈V / STRETCH⌉)
  readonly batch: ForwardBatchPlan;
}

/** Most that one forward pass takes. */
export interface DecoderLimits {
  readonly maxRows: number;
  readonly maxLogitsRows: number;
  readonly maxSequences: number;
}

/** Plans the working memory, which all layers share. */
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
    inner: plan.tensor(maxRows, mlp.innerSize),
    scores: plan.tensor(plan.scoreRows, blocksPerContext * BLOCK_SIZE),
    linear: plan.linearScratch(maxRows, Math.max(C, queryWidth, mlp.innerSize)),
    wantedX: plan.tensor(maxLogitsRows, C),
    wantedNormed: plan.tensor(maxLogitsRows, C),
    logits: plan.tensor(maxLogitsRows, V),
    maxima: plan.tensor(maxLogitsRows, Math.ceil(V / STRETCH)),
    batch: planForwardBatch(plan, { ...limits, blocksPerContext }),
  };
}

/** The first rows of the working tensors, for as many rows as go through a layer past its K and V. */
interface PassRows {
  readonly x: Tensor; // (R, C)
  readonly normed: Tensor; // (R, C)
  readonly q: Tensor; // (R, Q)
  readonly attended: Tensor; // (R, Q)
  readonly inner: Tensor; // (R, innerSize)
}

/** All rows of a pass: K and V are made of each. */
interface AllRows extends PassRows {
  readonly kv: Tensor; // (T, 2K)
  readonly k: Tensor; // (T, K)
  readonly v: Tensor; // (T, K)
}

/** The rows whose logits are wanted. */
interface WantedRows extends PassRows {
  readonly logits: Tensor; // (N, V)
}

export class Decoder {
  readonly spec: DecoderSpec;
  readonly scratch: DecoderScratch;
  /** What the next pass is fed with. */
  readonly batch: ForwardBatch;
  readonly #kernels: Kernels;
  readonly #weights: DecoderWeights;
  /** By number of rows; made when first needed, so that later passes allocate nothing. */
  readonly #allRows: AllRows[] = [];
  readonly #wantedRows: WantedRows[] = [];
  #rowsComputed = 0;
  #logitsRowsComputed = 0;

  constructor(spec: DecoderSpec, kernels: Kernels, weights: DecoderWeights, scratch: DecoderScratch) {
    this.spec = spec;
    this.#kernels = kernels;
    this.#weights = weights;
    this.scratch = scratch;
    this.batch = new ForwardBatch(kernels, scratch.batch);
  }

  /** Rows that have entered `forward`, over all calls. */
  get rowsComputed(): number {
    return this.#rowsComputed;
  }

  /**
   * Those of them whose logits were wanted. Only they went through the last layer's queries, attention and MLP, and
   * through the head.
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
    const { spec, batch } = this;
    const kernels = this.#kernels;
    const { embedding, positions, finalNorm, head } = this.#weights;
    const T = batch.numRows;
    const N = batch.numWanted;
    this.#rowsComputed += T;
    this.#logitsRowsComputed += N;
    const all = this.#rowsOf(T);
    const wanted = this.#wantedRowsOf(N);

    kernels.embed(all.x, batch.tokenIds, embedding); // x (T, C)
    kernels.addRowsAt(all.x, batch.positions, positions);
    // Past the last layer's K and V only the rows whose logits are wanted matter: every later stage is row by row.
    const goOn = N === T ? all : wanted;
    const last = spec.layers.length - 1;
    for (let layer = 0; layer <= last; layer++) this.#layer(layer, all, layer < last ? all : goOn, kv);
    if (N === 0) return wanted.logits;

    this.#norm(wanted.normed, goOn.x, finalNorm, spec.finalNorm); // (N, C)
    kernels.linear(wanted.logits, wanted.normed, head, null, this.scratch.linear); // (N, V)
    return wanted.logits;
  }

  /**
   * The largest values of each stretch of logits, as `Kernels.stretchMaxima`.
   * @param logits (N, V) those of the last call of `forward`
   * @returns (N, ⌈V / STRETCH⌉), valid as long as they are
   */
  stretchMaxima(logits: Tensor): Tensor {
    const maxima = rows(this.scratch.maxima, 0, logits.rows);
    this.#kernels.stretchMaxima(maxima, logits);
    return maxima;
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
    const { kv: space, batch } = this.scratch;
    const cols = kv.numKvHeads * kv.headDim;
    const tensorOf = (offset: number, bytes: Uint8Array): Tensor => {
      kernels.u8(offset, bytes.length).set(bytes);
      return { offset, rows: slots.length, cols, stride: cols }; // (R, K)
    };
    const at = { offset: batch.slots.offset, length: slots.length };
    kernels.i32(at.offset, at.length).set(slots);
    const k = tensorOf(space.offset, keys);
    const v = tensorOf(space.offset + keys.length, values);
    kernels.writeKv(kv, layer, k, v, at);
  }

  /** One layer: K and V of all rows, everything else of those that go on. */
  #layer(layer: number, all: AllRows, goOn: AllRows | WantedRows, kv: KvLayout): void {
    const { batch, scratch } = this;
    const kernels = this.#kernels;
    const weights = this.#weights.layers[layer];
    const { attention, mlp } = this.spec.layers[layer];
    const { x, normed, q, attended, inner } = goOn;

    this.#norm(all.normed, all.x, weights.attentionNorm, attention.norm); // (T, C)
    this.#linear(all.kv, all.normed, weights.kv); // (T, 2K)
    kernels.writeKv(kv, layer, all.k, all.v, batch.slots);
    if (x.rows === 0) return;
    if (goOn !== all) {
      kernels.gatherRows(x, all.x, batch.wantedRows); // (N, C)
      kernels.gatherRows(normed, all.normed, batch.wantedRows); // (N, C)
    }
    this.#linear(q, normed, weights.q); // (R, Q)
    kernels.attention({
      q,
      out: attended, // (R, Q)
      numHeads: attention.numHeads,
      kv,
      layer,
      sequences: goOn === all ? batch.sequences : batch.wantedSequences,
      positions: goOn === all ? batch.positions : batch.wantedPositions,
      scale: attention.scale,
      window: attention.window,
      softcap: attention.softcap,
      scratch: scratch.scores,
    });
    this.#linear(normed, attended, weights.o); // (R, C)
    kernels.add(x, normed);

    this.#norm(normed, x, weights.mlpNorm, mlp.norm); // (R, C)
    this.#linear(inner, normed, weights.up); // (R, innerSize)
    kernels.activate(inner, mlp.activation);
    this.#linear(normed, inner, weights.down); // (R, C)
    kernels.add(x, normed);
  }

  #norm(out: Tensor, x: Tensor, { gain, bias }: NormWeights, spec: NormSpec | null): void {
    if (spec?.kind !== "layer") throw new Error("only layer norms are written yet");
    this.#kernels.layerNorm(out, x, gain, bias, spec.epsilon);
  }

  #linear(out: Tensor, x: Tensor, { weight, bias }: LinearWeights): void {
    this.#kernels.linear(out, x, weight, bias, this.scratch.linear);
  }

  #rowsOf(T: number): AllRows {
    const known = this.#allRows[T];
    if (known !== undefined) return known;
    const { scratch } = this;
    const kv = rows(scratch.kv, 0, T);
    const width = kv.cols / 2;
    const made = {
      x: rows(scratch.x, 0, T),
      normed: rows(scratch.normed, 0, T),
      kv,
      k: columns(kv, 0, width),
      v: columns(kv, width, width),
      q: rows(scratch.q, 0, T),
      attended: rows(scratch.attended, 0, T),
      inner: rows(scratch.inner, 0, T),
    };
    this.#allRows[T] = made;
    return made;
  }

  #wantedRowsOf(N: number): WantedRows {
    const { scratch } = this;
    this.#wantedRows[N] ??= {
      x: rows(scratch.wantedX, 0, N),
      normed: rows(scratch.wantedNormed, 0, N),
      q: rows(scratch.q, 0, N),
      attended: rows(scratch.attended, 0, N),
      inner: rows(scratch.inner, 0, N),
      logits: rows(scratch.logits, 0, N),
    };
    return this.#wantedRows[N];
  }
}
