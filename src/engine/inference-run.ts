/**
 * One sequence on its way through the model, in one of two ways: *recompute* feeds every row again at each inference,
 * *cached* feeds only the rows that the KV cache does not hold. Both are the same forward pass, fed with other rows.
 *
 * Owns its block table in the KV cache and its counters. Dispose gives the blocks back.
 */
import { LastrowError } from "../errors.js";
import type { Kernels, Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { BlockTable } from "../kv-cache/block-table.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { SequenceRows } from "../model/forward-batch.js";
import type { Gpt2 } from "../model/gpt2.js";
import type { TurnTaker } from "./turn-taker.js";

/** How the rows of earlier tokens come to be there: from the KV cache, or computed again each time. */
export type Mode = "cached" | "recompute";

/** What runs share: the model, its memory, its cache. One owner: the language model. */
export interface Engine {
  readonly model: Gpt2;
  readonly kernels: Kernels;
  readonly kvCache: KvCache;
}

export interface FeedOptions {
  readonly turns: TurnTaker;
  readonly signal?: AbortSignal | undefined;
}

export class InferenceRun {
  readonly mode: Mode;
  readonly #engine: Engine;
  readonly #table: BlockTable;
  #inferences = 0;
  #rowsComputed = 0;
  #computeMs = 0;

  constructor(engine: Engine, mode: Mode) {
    this.#engine = engine;
    this.mode = mode;
    this.#table = engine.kvCache.createSequence();
  }

  /** How many times the next token's logits were computed. */
  get inferences(): number {
    return this.#inferences;
  }

  /** Rows that this run put through the forward pass, counted where they entered. */
  get rowsComputed(): number {
    return this.#rowsComputed;
  }

  /** Milliseconds that this run's forward passes took; turns of others in between do not count. */
  get computeMs(): number {
    return this.#computeMs;
  }

  /**
   * Computes the logits after the last of `tokens`, a sequence that begins with all tokens of the calls before.
   *
   * @param use is given the logits, (V), at once: they are a view that the next forward pass, of anyone, overwrites
   * @returns what `use` returns; null when the signal was aborted
   * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`
   */
  async infer<T>(
    tokens: readonly number[],
    options: FeedOptions,
    use: (logits: Float32Array) => T,
  ): Promise<T | null> {
    const { kernels, kvCache, model } = this.#engine;
    if (this.mode === "recompute") kvCache.discard(this.#table);
    for (;;) {
      await options.turns.take();
      if (options.signal?.aborted) return null;
      const start = this.#table.length;
      const end = Math.min(tokens.length, start + model.maxRows);
      const isLast = end === tokens.length;
      const logits = this.#forward(tokens.slice(start, end), isLast ? "last" : "none");
      if (!isLast) continue;
      this.#inferences += 1;
      const used = use(kernels.f32(logits.offset, logits.cols));
      // Nothing of it will be used again: the blocks are anyone's until the next inference.
      if (this.mode === "recompute") kvCache.discard(this.#table);
      return used;
    }
  }

  /**
   * The logits of every row of `tokens` that the cache does not hold, a few rows at a time, each time a copy; ends
   * early when the signal is aborted.
   * @throws LastrowError as `infer`
   */
  async *inferAll(
    tokens: readonly number[],
    options: FeedOptions,
  ): AsyncGenerator<{ firstPosition: number; logits: Float32Array; rows: number }> {
    const { kernels, model } = this.#engine;
    while (this.#table.length < tokens.length) {
      await options.turns.take();
      if (options.signal?.aborted) return;
      const firstPosition = this.#table.length;
      const logits = this.#forward(tokens.slice(firstPosition, firstPosition + model.maxLogitsRows), "all");
      yield {
        firstPosition,
        logits: kernels.f32(logits.offset, logits.rows * logits.cols).slice(),
        rows: logits.rows,
      };
    }
    this.#inferences += 1;
  }

  /** Gives the KV blocks back. */
  dispose(): void {
    this.#engine.kvCache.free(this.#table);
  }

  /** One forward pass over rows that follow those in the cache. */
  #forward(tokenIds: readonly number[], wantsLogits: SequenceRows["wantsLogits"]): Tensor {
    const { model, kvCache, kernels } = this.#engine;
    const table = this.#table;
    if (!kvCache.reserve(table, tokenIds.length)) throw this.#exhausted(table.length + tokenIds.length);
    const positions = tokenIds.map((_, i) => table.length + i);
    const before = model.rowsComputed;
    const start = performance.now();
    const logits = model.forward(
      {
        tokenIds,
        positions,
        slotMapping: positions.map((position) => table.slot(position)),
        sequences: [{ blockTable: table.blockIds, newTokens: tokenIds.length, wantsLogits }],
      },
      kvCache.layout,
    );
    this.#computeMs += performance.now() - start;
    this.#rowsComputed += model.rowsComputed - before;
    if (kernels.hasNaN(logits)) {
      throw new LastrowError(
        "numerical_error",
        `The logits at position ${table.length + tokenIds.length - 1} hold a NaN: the model's numbers overflow on this input.`,
      );
    }
    kvCache.commit(table, tokenIds.length);
    return logits;
  }

  #exhausted(rowsNeeded: number): LastrowError {
    const { pool, layout } = this.#engine.kvCache;
    const needed = Math.ceil(rowsNeeded / BLOCK_SIZE);
    return new LastrowError(
      "kv_memory_exhausted",
      `${rowsNeeded} rows need ${needed} KV blocks; this sequence holds ${this.#table.blockIds.length} and ${pool.numFree} of ${pool.numBlocks} are free. Give more KV memory (${layout.blockBytes} bytes a block), or let other generations end first.`,
    );
  }
}
