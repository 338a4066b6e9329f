/** The logits of every row of a sequence, read at the caller's own pace. */

import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { EngineClient } from "./engine-client.js";

/** One row of logits. */
export interface LogitsRow {
  /** Absolute position of the token that the row follows. */
  readonly position: number;
  /** (vocabulary); your own copy. */
  readonly logits: Float32Array;
}

/** Most bytes of logits that wait for the reader. */
const HELD_BYTES = 1024 * 1024;

/**
 * A few rows at a time are computed, and the next ones when these have been read. Ends early when the signal is aborted.
 * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`, `engine_lost`
 */
export async function* readLogits(
  engine: EngineClient,
  tokens: readonly number[],
  vocabSize: number,
  { signal, tenant }: { readonly signal?: AbortSignal | undefined; readonly tenant?: string | undefined },
): AsyncGenerator<LogitsRow, void> {
  const rowsHeld = Math.max(1, Math.floor(HELD_BYTES / (4 * vocabSize)));
  const sequence = engine.sequence();
  try {
    for (let from = 0; from < tokens.length; from += rowsHeld) {
      if (signal?.aborted) return;
      const next = tokens.slice(from, from + rowsHeld);
      const rows: LogitsRow[] = [];
      const use = ({ firstPosition, count, row }: ComputedLogits) => {
        for (let i = 0; i < count; i++) rows.push({ position: firstPosition + i, logits: row(i).slice() });
      };
      if (from > 0) await sequence.extend(from, next, from, use);
      else {
        // No other sequence finds what is computed here: each row's logits are wanted, so nothing could be taken either.
        await sequence.start(next, { salt: null, tenant, logitsFrom: 0, rowsNeeded: tokens.length }, use);
      }
      yield* rows;
    }
  } finally {
    await sequence.end();
  }
}
