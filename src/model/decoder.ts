/**
 * The forward pass of a decoder-only transformer, as its `DecoderSpec` says, whatever its family. Written against the
 * kernels and nothing else, and fed with rows: recomputing, decoding from the cache and prefilling in chunks differ only in
 * which rows they feed.
 *
 * Owns its working memory and the count of rows that entered. In shape comments: T new rows, N rows that are wanted, the
 * first L of them as logits, R rows of either kind; C hidden size, V vocabulary, Q all heads of queries, K all heads of keys.
 */
import { columns, type IndexList, type Kernels, rows, type Tensor } from "../kernels/kernels.js";
import type { KvLayout } from "../kernels/kv-layout.js";
import type { PackedDtype } from "../kernels/weight-types.js";
import type { DecoderScratch } from "./decoder-scratch.js";
import type { AttentionSpec, DecoderSpec, MlpSpec, NormSpec } from "./decoder-spec.js";
import type { DecoderWeights, LinearWeights, NormWeights } from "./decoder-weights.js";
import { ForwardBatch } from "./forward-batch.js";
import { PassAngles } from "./pass-angles.js";

/** The first rows of the working tensors, for as many rows as go through a layer past its K and V. */
interface PassRows {
  readonly x: Tensor; // (R, C)
  readonly normed: Tensor; // (R, C)
  readonly q: Tensor; // (R, Q)
  readonly attended: Tensor; // (R, Q)
  /** What goes into the activation: gate and up, where the MLP is gated. */
  readonly up: Tensor; // (R, innerSize), or (R, 2 · innerSize)
  /** What comes out of it: the first columns of `up`. */
  readonly inner: Tensor; // (R, innerSize)
  /** For each rotation. */
  readonly angles: readonly Tensor[]; // (R, d)
}

/** What a pass leaves. */
interface PassResults {
  readonly logits: Tensor; // (L, V)
  /** After the final norm, (N, C) the wanted rows, or where they were not gathered (T, C) all. */
  readonly normed: Tensor;
}

/** A pass, and of what batches it is the same operations. */
interface KeptPass extends PassResults {
  readonly kv: KvLayout;
  readonly withMaxima: boolean;
  readonly shape: readonly number[];
  readonly ask: () => PassResults;
}

/** All rows of a pass: K and V are made of each. */
interface AllRows extends PassRows {
  readonly kv: Tensor; // (T, 2K)
  readonly k: Tensor; // (T, K)
  readonly v: Tensor; // (T, K)
}

export class Decoder {
  readonly spec: DecoderSpec;
  readonly scratch: DecoderScratch;
  /** What the next pass is fed with. */
  readonly batch: ForwardBatch;
  readonly #kernels: Kernels;
  readonly #weights: DecoderWeights;
  readonly #angles: PassAngles;
  /** By number of rows; made when first needed, so that later passes allocate nothing. */
  readonly #allRows: AllRows[] = [];
  readonly #wantedRows: PassRows[] = [];
  /** The last pass: the same may come again, as it does while one sequence is decoded. */
  #last: KeptPass | null = null;
  #rowsComputed = 0;
  #logitsRowsComputed = 0;

  constructor(spec: DecoderSpec, kernels: Kernels, weights: DecoderWeights, scratch: DecoderScratch) {
    this.spec = spec;
    this.#kernels = kernels;
    this.#weights = weights;
    this.scratch = scratch;
    this.batch = new ForwardBatch(kernels, scratch.batch);
    this.#angles = new PassAngles(kernels, spec.rotations, scratch.angles);
  }

  /** Rows that have entered `forward`, over all calls. */
  get rowsComputed(): number {
    return this.#rowsComputed;
  }

  /** Those of them that went through the head. */
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
   * Feeds the rows of `batch`: writes their K and V into the cache and computes what is wanted of them.
   *
   * @param withMaxima whether `maxima` is wanted, too
   * @returns (L, V), the rows that are wanted as logits in the order of the batch; valid until the next call, as is what
   *   `hiddenRow` gives
   */
  forward(kv: KvLayout, withMaxima = false): Tensor {
    const { batch } = this;
    if (batch.numLogits > this.maxLogitsRows) throw new Error("a forward pass was asked for too many logits");
    this.#rowsComputed += batch.numRows;
    this.#logitsRowsComputed += batch.numLogits;
    this.#angles.fill(batch, this.#gathers);
    const last = this.#last;
    if (
      last !== null &&
      last.kv === kv &&
      last.withMaxima === withMaxima &&
      areAlike(last.shape, batch.shape)
    ) {
      if (this.#kernels.again(last.ask)) return last.logits;
    }
    this.#last = null;
    const ask = () => this.#pass(kv, withMaxima);
    this.#last = { ...this.#kernels.together(ask), kv, withMaxima, shape: [...batch.shape], ask };
    return this.#last.logits;
  }

  /**
   * (L, ⌈V / STRETCH⌉) `Kernels.stretchMaxima` of the logits of the last pass, which was asked for them; valid as long as they
   * are.
   */
  get maxima(): Tensor {
    return rows(this.scratch.maxima, 0, this.batch.numLogits);
  }

  /**
   * A wanted row of the last call of `forward` as it is after the final norm: what the head makes logits of.
   * @param i its number among the wanted rows, in the order of the batch
   * @returns (1, C)
   */
  hiddenRow(i: number): Tensor {
    const { numWanted, wantedRows } = this.batch;
    if (this.#last === null) throw new Error("no pass has given hidden rows");
    const { normed } = this.#last;
    return rows(normed, normed.rows === numWanted ? i : wantedRows.at(i), 1);
  }

  /**
   * Whether the wanted rows of `batch` are gathered, to go on alone past the last layer's K and V. Else all do: where all
   * are wanted, and where more hidden rows are wanted than there is room for.
   */
  get #gathers(): boolean {
    const { numRows, numWanted } = this.batch;
    return numWanted < numRows && numWanted <= this.scratch.wantedX.rows;
  }

  /** All operations of a pass. */
  #pass(kv: KvLayout, withMaxima: boolean): PassResults {
    const { spec, batch } = this;
    const kernels = this.#kernels;
    const { embedding, positions, finalNorm, head } = this.#weights;
    const N = batch.numWanted;
    const L = batch.numLogits;
    const all = this.#rowsOf(batch.numRows);
    const logits = rows(this.scratch.logits, 0, L);

    kernels.embed(all.x, batch.tokenIds, embedding); // x (T, C)
    if (spec.embeddingScale !== 1) kernels.scale(all.x, spec.embeddingScale);
    if (positions !== null) kernels.addRowsAt(all.x, batch.positions, positions);
    // Past the last layer's K and V only the rows that are wanted matter: every later stage is row by row.
    const goOn = this.#gathers ? this.#wantedRowsOf(N) : all;
    const last = spec.layers.length - 1;
    for (let layer = 0; layer <= last; layer++) this.#layer(layer, all, layer < last ? all : goOn, kv);
    const room = this.scratch.wantedNormed;
    const normed = N <= room.rows ? rows(room, 0, N) : all.normed;
    const results = { logits, normed };
    if (N === 0) return results;

    this.#norm(normed, goOn.x, spec.finalNorm, finalNorm); // (N, C), or (T, C)
    if (L === 0) return results;
    const read = rows(room, 0, L); // (L, C)
    if (N > room.rows) kernels.gatherRows(read, all.normed, firstOf(batch.wantedRows, L));
    kernels.linear(logits, read, head, null, this.scratch.linear); // (L, V)
    if (spec.logitScale !== 1) kernels.scale(logits, spec.logitScale);
    if (spec.logitSoftcap !== null) kernels.softcap(logits, spec.logitSoftcap);
    if (withMaxima) kernels.stretchMaxima(rows(this.scratch.maxima, 0, L), logits);
    return results;
  }

  /**
   * Writes rows of K and V that are known already into the cache, which must be of f32. Works where `forward` works, so not
   * while that does.
   * @param keys (R, numKvHeads, headDim) f32, as bytes; so `values`
   * @param slots (R) where each row belongs, in blocks of the layer's group: block id · 16 + position in the block; at most
   *   `maxRows`
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
    const at = { offset: batch.groups[0].slots.offset, length: slots.length };
    kernels.i32(at.offset, at.length).set(slots);
    const k = tensorOf(space.offset, keys);
    const v = tensorOf(space.offset + keys.length, values);
    kernels.writeKv(kv, layer, k, v, at);
  }

  /** One layer: K and V of all rows, everything else of those that go on. */
  #layer(layer: number, all: AllRows, goOn: PassRows, kv: KvLayout): void {
    const { batch, scratch } = this;
    const kernels = this.#kernels;
    const weights = this.#weights.layers[layer];
    const { attention, mlp, residual, residualScale } = this.spec.layers[layer];
    const { x, normed, q, attended } = goOn;
    const lists = batch.groups[kv.places[layer].group];

    const readByAll = this.#norm(all.normed, all.x, attention.norm, weights.attentionNorm); // (T, C)
    this.#linear(all.kv, readByAll, weights.kv); // (T, 2K)
    // Side by side, queries' product meets what keys' has made of its input.
    if (goOn === all) this.#linear(q, readByAll, weights.q, lastDtype(weights.kv)); // (T, Q)
    this.#turn(all.k, attention, weights.keyNorm, all.angles);
    kernels.writeKv(kv, layer, all.k, all.v, lists.slots);
    if (x.rows === 0) return;
    if (goOn !== all) {
      kernels.gatherRows(x, all.x, batch.wantedRows); // (N, C)
      if (attention.norm !== null) kernels.gatherRows(normed, all.normed, batch.wantedRows); // (N, C)
    }
    const readByQueries = attention.norm === null ? x : normed; // (R, C)
    if (goOn !== all) this.#linear(q, readByQueries, weights.q); // (R, Q)
    this.#turn(q, attention, weights.queryNorm, goOn.angles);
    kernels.attention({
      q,
      out: attended, // (R, Q)
      numHeads: attention.numHeads,
      kv,
      layer,
      sequences: goOn === all ? lists.sequences : lists.wantedSequences,
      positions: goOn === all ? batch.positions : batch.wantedPositions,
      window: attention.window,
      scale: attention.scale,
      softcap: attention.softcap,
      scratch: scratch.scores,
    });

    if (residual === "serial") this.#addAttention(layer, goOn);
    // In parallel attention's part is added once the MLP has read: x as it was, or what attention read.
    const unnormed = residual === "serial" ? x : readByQueries;
    const read = mlp.norm === null ? unnormed : this.#norm(normed, x, mlp.norm, weights.mlpNorm); // (R, C)
    this.#linear(goOn.up, read, weights.up);
    if (residual === "parallel") this.#addAttention(layer, goOn);
    this.#activate(goOn, mlp);
    this.#linear(normed, goOn.inner, weights.down); // (R, C)
    this.#norm(normed, normed, mlp.normAfter, weights.mlpNormAfter);
    this.#add(x, normed, residualScale);
  }

  #addAttention(layer: number, { x, normed, attended }: PassRows): void {
    const { attention, residualScale } = this.spec.layers[layer];
    const { o, attentionNormAfter } = this.#weights.layers[layer];
    this.#linear(normed, attended, o); // (R, C)
    this.#norm(normed, normed, attention.normAfter, attentionNormAfter);
    this.#add(x, normed, residualScale);
  }

  /** @returns what was normed, or `x` as it is where there is no norm */
  #norm(out: Tensor, x: Tensor, spec: NormSpec | null, weights: NormWeights | null): Tensor {
    if (spec === null || weights === null) return x;
    const { gain, bias } = weights;
    if (bias === null) this.#kernels.rmsNorm(out, x, gain, spec.epsilon);
    else this.#kernels.layerNorm(out, x, gain, bias, spec.epsilon);
    return out;
  }

  /** What happens to queries and keys between their product and attention: norm and rotation. */
  #turn(x: Tensor, spec: AttentionSpec, norm: NormWeights | null, angles: readonly Tensor[]): void {
    this.#norm(x, x, spec.qkNorm?.norm ?? null, norm);
    if (spec.rotation !== null) this.#kernels.rotate(x, angles[spec.rotation], spec.headDim);
  }

  #activate({ up, inner }: PassRows, { innerSize, gated, activation }: MlpSpec): void {
    if (!gated) this.#kernels.activate(inner, activation);
    else this.#kernels.gate(inner, inner, columns(up, innerSize, innerSize), activation);
  }

  /** x += y · factor; `y` is overwritten. */
  #add(x: Tensor, y: Tensor, factor: number): void {
    if (factor !== 1) this.#kernels.scale(y, factor);
    this.#kernels.add(x, y);
  }

  /** @param before type of the weight whose product with the same x comes right before; null: none does */
  #linear(out: Tensor, x: Tensor, { parts, bias }: LinearWeights, before: PackedDtype | null = null): void {
    const kernels = this.#kernels;
    const { linear: scratch } = this.scratch;
    if (parts.length === 1) {
      const [{ weight }] = parts;
      kernels.linear(out, x, weight, bias, scratch, weight.dtype === before);
      return;
    }
    let last = before;
    for (const { at, weight } of parts) {
      const { outFeatures, dtype } = weight;
      const ownBias = bias === null ? null : columns(bias, at, outFeatures);
      kernels.linear(columns(out, at, outFeatures), x, weight, ownBias, scratch, dtype === last);
      last = dtype;
    }
  }

  #rowsOf(T: number): AllRows {
    const known = this.#allRows[T];
    if (known !== undefined) return known;
    const { scratch } = this;
    const kv = rows(scratch.kv, 0, T);
    const width = kv.cols / 2;
    const made = {
      ...this.#passRows(T),
      x: rows(scratch.x, 0, T),
      normed: rows(scratch.normed, 0, T),
      kv,
      k: columns(kv, 0, width),
      v: columns(kv, width, width),
      angles: scratch.angles.map(({ all }) => rows(all, 0, T)),
    };
    this.#allRows[T] = made;
    return made;
  }

  #wantedRowsOf(N: number): PassRows {
    const { scratch } = this;
    this.#wantedRows[N] ??= {
      ...this.#passRows(N),
      x: rows(scratch.wantedX, 0, N),
      normed: rows(scratch.wantedNormed, 0, N),
      angles: scratch.angles.map(({ wanted }) => rows(wanted, 0, N)),
    };
    return this.#wantedRows[N];
  }

  /** What rows of either kind work in, one kind after the other. */
  #passRows(count: number): Pick<PassRows, "q" | "attended" | "up" | "inner"> {
    const { scratch, spec } = this;
    const up = rows(scratch.up, 0, count);
    return {
      q: rows(scratch.q, 0, count),
      attended: rows(scratch.attended, 0, count),
      up,
      inner: columns(up, 0, spec.layers[0].mlp.innerSize),
    };
  }
}

/** Of the product that comes last. */
function lastDtype({ parts }: LinearWeights): PackedDtype {
  return parts[parts.length - 1].weight.dtype;
}

function areAlike(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function firstOf({ offset }: IndexList, length: number): IndexList {
  return { offset, length };
}
