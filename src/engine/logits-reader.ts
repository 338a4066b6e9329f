/** The logits of every row of a sequence, for one who reads at his own pace. */
import type { Engine } from "./engine.js";
import type { ComputedLogits, ScheduledSequence } from "./scheduled-sequence.js";

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
 * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`
 */
export async function* readLogits(
  engine: Engine,
  tokens: readonly number[],
  signal?: AbortSignal | undefined,
): AsyncGenerator<LogitsRow, void> {
  const { core } = engine;
  const { maxLogitsRows, config } = core.model;
  const rowsHeld = Math.max(1, Math.min(maxLogitsRows, Math.floor(HELD_BYTES / (4 * config.vocabSize))));
  let sequence: ScheduledSequence | null = null;
  try {
    for (let from = 0; from < tokens.length; from += rowsHeld) {
      if (signal?.aborted) return;
      engine.expectSound();
      const next = tokens.slice(from, from + rowsHeld);
      const rows: LogitsRow[] = await new Promise((resolve, reject) => {
        const collected: LogitsRow[] = [];
        const take = ({ firstPosition, count, row }: ComputedLogits) => {
          for (let i = 0; i < count; i++)
            collected.push({ position: firstPosition + i, logits: row(i).slice() });
          if (collected.length === next.length) resolve(collected);
        };
        if (sequence === null) {
          // Nobody else finds what is computed here: each row's logits are wanted, so nothing could be taken either.
          const options = { salt: null, logitsFrom: 0, rowsNeeded: tokens.length };
          sequence = core.start(next, { take, fail: reject }, options);
        } else {
          sequence.consumer = { take, fail: reject };
          core.extend(sequence, next, from);
        }
        engine.wake();
      });
      yield* rows;
    }
  } finally {
    if (sequence !== null) core.end(sequence);
  }
}
