/**
 * A sequence fed to the model by hand, below the engine: its own table, no sharing, no batching. The measure that
 * everything the engine does is held against.
 */
import type { Kernels, Tensor } from "../src/kernels/kernels.js";
import type { BlockTable } from "../src/kv-cache/block-table.js";
import type { KvCache } from "../src/kv-cache/kv-cache.js";
import type { Decoder } from "../src/model/decoder.js";

export interface ModelParts {
  readonly model: Decoder;
  readonly kernels: Kernels;
  readonly kvCache: KvCache;
}

export class FedSequence {
  readonly table: BlockTable;
  readonly #parts: ModelParts;
  rowsComputed = 0;

  constructor(parts: ModelParts) {
    this.#parts = parts;
    this.table = parts.kvCache.createSequence(null);
  }

  /** A copy of the logits (V) after the last of `tokens`, a sequence that begins with the rows that are there. */
  logitsAfter(tokens: readonly number[]): Float32Array {
    const { kernels, model } = this.#parts;
    for (;;) {
      const end = Math.min(tokens.length, this.table.length + model.maxRows);
      const isLast = end === tokens.length;
      const logits = this.feed(tokens.slice(this.table.length, end), isLast ? "last" : "none");
      if (isLast) return kernels.f32(logits.offset, logits.cols).slice();
    }
  }

  /** Copies of the logits after each of `tokens`. */
  *allLogits(tokens: readonly number[]): Generator<Float32Array> {
    const { kernels, model } = this.#parts;
    while (this.table.length < tokens.length) {
      const { length } = this.table;
      const logits = this.feed(tokens.slice(length, length + model.maxLogitsRows), "all");
      for (let r = 0; r < logits.rows; r++) {
        yield kernels.f32(logits.offset + 4 * r * logits.stride, logits.cols).slice();
      }
    }
  }

  /** Copies of the rows of `tokens` that the head makes logits of. */
  *allHidden(tokens: readonly number[]): Generator<Float32Array> {
    const { kernels, model } = this.#parts;
    while (this.table.length < tokens.length) {
      const { length } = this.table;
      const { rows } = this.feed(
        tokens.slice(length, length + Math.min(model.maxRows, model.maxLogitsRows)),
        "all",
      );
      for (let r = 0; r < rows; r++) {
        const { offset, cols } = model.hiddenRow(r);
        yield kernels.f32(offset, cols).slice();
      }
    }
  }

  /** One forward pass over rows behind those that are there. */
  feed(tokenIds: readonly number[], wantsLogits: "none" | "last" | "all"): Tensor {
    const { model, kvCache } = this.#parts;
    const { table } = this;
    if (!kvCache.reserve(table, tokenIds.length)) throw new Error("no KV block is left for this test");
    const count = tokenIds.length;
    const { runs, length: from } = table;
    table.append(tokenIds);
    const { tokens } = table;
    model.batch.clear();
    model.batch.add({
      tokens,
      from,
      count,
      runs,
      wanted: wantsLogits === "all" ? count : wantsLogits === "last" ? 1 : 0,
    });
    const logits = model.forward(kvCache.layout);
    this.rowsComputed += tokenIds.length;
    kvCache.commit(table, count);
    return logits;
  }

  /** Forgets all rows. */
  forget(): void {
    this.#parts.kvCache.truncate(this.table, 0);
  }

  dispose(): void {
    this.#parts.kvCache.free(this.table);
  }
}

/** The logits after each of several lengths of one sequence: cached, or each time from the start. */
export function logitsAt(
  parts: ModelParts,
  mode: "cached" | "recompute",
  tokens: readonly number[],
  lengths: readonly number[],
): Float32Array[] {
  const sequence = new FedSequence(parts);
  try {
    return lengths.map((length) => {
      if (mode === "recompute") sequence.forget();
      return sequence.logitsAfter(tokens.slice(0, length));
    });
  } finally {
    sequence.dispose();
  }
}
