/**
 * Runs the model on the rows that a step has planned, and shows what came of those of each sequence. Knows nothing of what
 * follows from it: of tables that grow, sequences that fail, consumers.
 *
 * Owns the views of the model's logits and of their maxima, each made once: these lie in the same place in each step.
 */
import type { Kernels, Tensor } from "../kernels/kernels.js";
import type { KvLayout } from "../kernels/kv-layout.js";
import type { Decoder } from "../model/decoder.js";
import type { StepLogits } from "./scheduled-sequence.js";
import type { ScheduledRows } from "./scheduler.js";

export class ModelRunner {
  readonly #model: Decoder;
  readonly #kernels: Pick<Kernels, "f32">;
  readonly #kv: KvLayout;
  /** By row, as the next. */
  readonly #logitsViews: Float32Array[] = [];
  readonly #maximaViews: Float32Array[] = [];

  constructor(model: Decoder, kernels: Pick<Kernels, "f32">, kv: KvLayout) {
    this.#model = model;
    this.#kernels = kernels;
    this.#kv = kv;
  }

  /**
   * One forward pass.
   * @returns for each of `rows` those of its wanted ones that are sound: up to the first that holds a NaN. The views are
   *   valid until the next call.
   */
  run(rows: readonly ScheduledRows[]): StepLogits[] {
    const { batch } = this.#model;
    batch.clear();
    for (const { sequence, count, wanted } of rows) {
      const { table, tokens, wantedAs } = sequence;
      batch.add({ tokens, from: table.length, count, runs: table.runs, wanted, wantedAs });
    }
    const logits = this.#model.forward(this.#kv, true);
    const { maxima } = this.#model; // (L, ⌈V / STRETCH⌉)
    let firstRow = 0;
    return rows.map(({ sequence, count, wanted }) => {
      const isHidden = sequence.wantedAs === "hidden";
      const row = isHidden ? this.#hiddenFrom(firstRow) : this.#rowsFrom(logits, firstRow, this.#logitsViews);
      const largest = isHidden ? row : this.#rowsFrom(maxima, firstRow, this.#maximaViews);
      firstRow += wanted;
      const firstPosition = sequence.table.length + count - wanted;
      return { firstPosition, count: rowsBeforeNaN(wanted, largest), row, maxima: largest };
    });
  }

  /** Views of a tensor's rows, counted from one of them. @param views of rows from 0 on, as far as they are made */
  #rowsFrom(
    { offset, stride, cols }: Tensor,
    first: number,
    views: Float32Array[],
  ): (i: number) => Float32Array {
    return (i) => {
      const row = first + i;
      views[row] ??= this.#kernels.f32(offset + 4 * row * stride, cols);
      return views[row];
    };
  }

  /** Views of the hidden rows, counted from one of the wanted rows. */
  #hiddenFrom(first: number): (i: number) => Float32Array {
    return (i) => {
      const { offset, cols } = this.#model.hiddenRow(first + i);
      return this.#kernels.f32(offset, cols);
    };
  }
}

/** @param maxima of row `i`: NaN where the row has one */
function rowsBeforeNaN(count: number, maxima: (i: number) => Float32Array): number {
  for (let i = 0; i < count; i++) if (hasNaN(maxima(i))) return i;
  return count;
}

function hasNaN(values: Float32Array): boolean {
  // Every comparison with a NaN fails. A loop: a callback for each value takes ten times as long.
  for (let i = 0; i < values.length; i++) if (!(values[i] <= Number.POSITIVE_INFINITY)) return true;
  return false;
}
