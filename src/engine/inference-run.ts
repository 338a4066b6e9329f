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

  /** KV blocks held now. */
  get numBlocks(): number {
    return this.#table.blockIds.length;
  }

  /**
   * The logits after the last of `tokens`, a sequence that begins with all tokens of the calls before.
   *
   * @returns (V), a view that is valid until the next forward pass of the model; null when the signal was aborted
   * @throws LastrowError `kv_memory_exhausted`, `numerical_error`
   */
  async infer(tokens: readonly number[], options: FeedOptions): Promise<Float32Array | null> {
    const { kernels, kvCache } = this.#engine;
    if (this.mode === "recompute") kvCache.truncate(this.#table, 0);
    let logits: Tensor | null = null;
    for await (const chunk of this.#feed(tokens, "last", options)) logits = chunk.logits;
    if (logits === null || options.signal?.aborted) return null;
    this.#inferences += 1;
    return kernels.f32(logits.offset, logits.cols);
  }

  /** The logits of every row of `tokens`, a piece at a time; each piece is valid until the next one is asked for. */
  async *inferAll(
    tokens: readonly number[],
    options: FeedOptions,
  ): AsyncGenerator<{ firstPosition: number; logits: Float32Array; rows: number }> {
    for await (const { firstPosition, logits } of this.#feed(tokens, "all", options)) {
      const values = this.#engine.kernels.f32(logits.offset, logits.rows * logits.cols);
      yield { firstPosition, logits: values, rows: logits.rows };
    }
    this.#inferences += 1;
  }

  /** Gives the KV blocks back. */
  dispose(): void {
    this.#engine.kvCache.free(this.#table);
  }

  /** Feeds the rows that the cache does not hold yet, in chunks; ends early when the signal is aborted. */
  async *#feed(
    tokens: readonly number[],
    wants: "last" | "all",
    { turns, signal }: FeedOptions,
  ): AsyncGenerator<{ firstPosition: number; logits: Tensor }> {
    const { model } = this.#engine;
    const chunkSize = wants === "all" ? model.maxLogitsRows : model.maxRows;
    let start = this.#table.length;
    while (start < tokens.length) {
      await turns.take();
      if (signal?.aborted) return;
      const end = Math.min(tokens.length, start + chunkSize);
      const isLast = end === tokens.length;
      const logits = this.#forward(tokens.slice(start, end), wants === "last" && !isLast ? "none" : wants);
      if (wants === "all" || isLast) yield { firstPosition: start, logits };
      start = end;
    }
  }

  /** One forward pass over rows that follow those in the cache. */
  #forward(tokenIds: readonly number[], wantsLogits: SequenceRows["wantsLogits"]): Tensor {
    const { model, kvCache, kernels } = this.#engine;
    const table = this.#table;
    if (!kvCache.reserve(table, tokenIds.length)) throw this.#exhausted(table.length + tokenIds.length);
    const positions = tokenIds.map((_, i) => table.length + i);
    const before = model.rowsComputed;
    const logits = model.forward(
      {
        tokenIds,
        positions,
        slotMapping: positions.map((position) => table.slot(position)),
        sequences: [{ blockTable: table.blockIds, newTokens: tokenIds.length, wantsLogits }],
      },
      kvCache.layout,
    );
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
