/**
 * A trace: every tensor of one forward pass over one sequence, by name, and for each of its rows the rows of earlier
 * tensors that it was made from and what it cost. Made by `traceForward`, from the model's own forward pass; everything
 * that is said or drawn about a pass is read from here. Plain data, and the questions that can be asked of it.
 */
import type { RecordedOperation, RowSource } from "../kernels/tracing/recorded-tensor.js";
import type { ModelConfig } from "../model/config.js";

export type { RecordedOperation, RowSource };

/** A tensor of a pass: how it was made, and from which rows of which others. */
export interface TracedTensor {
  /** Its place in `Trace.tensors`; sources have smaller ones. */
  readonly id: number;
  /**
   * The checkpoint's name for what made it (`wte`, `h.0.ln_1`, `h.0.attn.c_proj`, `h.0.mlp.c_proj`, `ln_f`, `lm_head`;
   * `embed_tokens`, `layers.0.self_attn.q_proj`), or, where the checkpoint has none, the place and what it is:
   * `h.0.attn.q`, `.kv`, `.k`, `.v`, `.keys`, `.values`, `.cachedKeys`, `.cachedValues`, `.scores`, `.softmax`,
   * `.weightedValues`, `.residual`; `h.0.mlp.act`, `.residual`, `.gate_up`, `.gate`, `.up`. What changes a tensor without a
   * weight follows its name: `.rotated`, `.scaled`, `.capped`, `.wanted` (some of its rows). Weights that rows are looked
   * up in: `wte.weight`, `wpe.weight`. Unique in a trace.
   */
  readonly name: string;
  readonly operation: RecordedOperation;
  /**
   * What its weight is to the decoder, whatever its family calls it: `embedding`, `positions`, `layers.0.attentionNorm`,
   * `layers.0.q`, `.kv`, `.o`, `.up` or `.gateUp`, `.down`, `finalNorm`, `head`. Null when it was made without one.
   */
  readonly weight: string | null;
  /** The checkpoint's names for the modules of that weight: several where it is made of several, none without one. */
  readonly modules: readonly string[];
  /** Number of its layer; null outside of the layers. */
  readonly layer: number | null;
  /** T for most; as many as are wanted for logits. */
  readonly rows: number;
  /** Values in a row. */
  readonly cols: number;
  /** Position in the sequence of its first row; null for weights, whose rows are no positions. */
  readonly firstPosition: number | null;
  /** What each row was made from; empty for what was there before the pass: weights and the cache. */
  readonly sources: readonly RowSource[];
  /** (rows) multiply-adds that each row cost; see `Kernels.multiplyAdds`. */
  readonly multiplyAdds: Float64Array;
}

/** A forward pass without numbers: every tensor of it, in the order in which they were made. */
export interface Trace {
  /** The architecture that was traced. */
  readonly config: ModelConfig;
  /** All tokens of the sequence up to the last row. */
  readonly tokens: readonly number[];
  /** Rows of K and V that were in the cache: the pass was fed with the others. 0: everything was recomputed. */
  readonly numCachedTokens: number;
  /** In the order of computation. */
  readonly tensors: readonly TracedTensor[];
}

/** Rows of tensors, as a set. */
export class RowSet {
  readonly #rows: (Uint8Array | undefined)[] = [];

  /** Whether a row is in it. */
  has(tensor: number, row: number): boolean {
    return this.#rows[tensor]?.[row] === 1;
  }

  /** Adds rows `from … to − 1`; one row without `to`. */
  add({ id, rows }: TracedTensor, from: number, to = from + 1): void {
    this.#rows[id] ??= new Uint8Array(rows);
    this.#rows[id].fill(1, from, to);
  }

  /** Rows of one tensor that are in it, ascending. */
  rowsOf(tensor: number): number[] {
    const rows: number[] = [];
    this.#rows[tensor]?.forEach((isIn, row) => {
      if (isIn === 1) rows.push(row);
    });
    return rows;
  }
}

/**
 * A tensor of a trace.
 * @throws Error when the trace has no tensor of this name
 */
export function tensorNamed(trace: Trace, name: string): TracedTensor {
  const found = trace.tensors.find((tensor) => tensor.name === name);
  if (found === undefined) throw new Error(`the trace has no tensor ${name}`);
  return found;
}

/**
 * The row of the logits that chooses the next token.
 * @throws Error when no logits were wanted of the pass
 */
export function lastLogits(trace: Trace): { readonly tensor: TracedTensor; readonly row: number } {
  // A family may scale or cap what the head gives: they are the last that a pass makes.
  if (!trace.tensors.some(({ weight }) => weight === "head")) throw new Error("the trace has no logits");
  const tensor = trace.tensors[trace.tensors.length - 1];
  return { tensor, row: tensor.rows - 1 };
}

/**
 * The rows that a row was made from, the rows that each of them was made from, and so on; the row itself included.
 * @param isGiven tensors to stop at: their rows are needed, what made them is not
 */
export function ancestors(
  trace: Trace,
  tensor: TracedTensor,
  row: number,
  isGiven: (tensor: TracedTensor) => boolean = () => false,
): RowSet {
  const found = new RowSet();
  found.add(tensor, row);
  for (let id = tensor.id; id >= 0; id--) {
    const made = trace.tensors[id];
    if (isGiven(made)) continue;
    for (const r of found.rowsOf(id)) {
      for (const source of made.sources) {
        if (source.to[r] > source.from[r]) {
          found.add(trace.tensors[source.tensor], source.from[r], source.to[r]);
        }
      }
    }
  }
  return found;
}

/** The rows that a row feeds, directly or through others; the row itself included. */
export function descendants(trace: Trace, tensor: TracedTensor, row: number): RowSet {
  const found = new RowSet();
  found.add(tensor, row);
  for (const made of trace.tensors.slice(tensor.id + 1)) {
    for (const { tensor: id, from, to } of made.sources) {
      const fed = found.rowsOf(id);
      if (fed.length === 0) continue;
      for (let r = 0; r < made.rows; r++) {
        if (fed.some((f) => f >= from[r] && f < to[r])) found.add(made, r);
      }
    }
  }
  return found;
}

/** Multiply-adds of a whole pass. */
export function totalMultiplyAdds(trace: Trace): number {
  let sum = 0;
  for (const { multiplyAdds } of trace.tensors) for (const cost of multiplyAdds) sum += cost;
  return sum;
}
