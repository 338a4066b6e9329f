/** How many rows the KV cache holds of one sequence that has it to itself. Fixed when the engine is made. */
import { LastrowError } from "../errors.js";
import type { KvLayout } from "../kernels/kv-layout.js";
import { blocksFor, rowsThatFit } from "../kv-cache/block-needs.js";

export class KvCapacity {
  /** At most the context. */
  readonly rows: number;
  readonly #layout: KvLayout;

  constructor(layout: KvLayout, contextLength: number) {
    this.rows = rowsThatFit(layout.groups, layout.numBlocks, contextLength);
    this.#layout = layout;
  }

  /** @throws LastrowError `kv_memory_exhausted` when so many rows do not fit even alone */
  expect(rows: number): void {
    if (rows <= this.rows) return;
    const { groups, numBlocks, blockBytes } = this.#layout;
    const needed = blocksFor(groups, rows, 1);
    throw new LastrowError(
      "kv_memory_exhausted",
      `${rows} rows of keys and values need ${needed} KV blocks, and there are ${numBlocks}; give more KV memory (kvMemory: ${needed * blockBytes} bytes or more), or ask for fewer tokens.`,
    );
  }
}
