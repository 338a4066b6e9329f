/** What tracing kernels note of a tensor. Plain data: it can be sent to and from a worker. */

/** What made a tensor: an operation of the kernels, a step inside attention, or nothing, for what was there before. */
export type RecordedOperation =
  /** A table of weights that rows are looked up in. */
  | "weight"
  /** Rows of K, or of V, that were in the cache before. */
  | "cachedKeys"
  | "cachedValues"
  | "embed"
  | "addRowsAt"
  | "gatherRows"
  | "add"
  | "layerNorm"
  | "rmsNorm"
  | "rotate"
  | "linear"
  | "activate"
  | "gate"
  | "scale"
  | "softcap"
  /** Some columns of a tensor, without copying. */
  | "columns"
  /** K, or V, of one sequence, row p for position p: from the cache, or new. */
  | "keys"
  | "values"
  /** Inside attention; a row for each query and a column for each key, in as many planes as there are heads. */
  | "scores"
  | "softmax"
  | "weightedValues";

/** The rows of an earlier tensor that each row of a tensor was made from: row r from rows from[r] … to[r] − 1. */
export interface RowSource {
  /** `RecordedTensor.id` of the earlier one. */
  readonly tensor: number;
  /** (rows) The first one, for each row. */
  readonly from: Int32Array;
  /** (rows) The one after the last, for each row. */
  readonly to: Int32Array;
}

export interface RecordedTensor {
  /** Its number, from 0; sources have smaller ones. */
  readonly id: number;
  readonly operation: RecordedOperation;
  readonly rows: number;
  readonly cols: number;
  readonly sources: readonly RowSource[];
  /**
   * (rows) multiply-adds that each row cost: of matrix products and of attention's two sums. What an operation does to
   * single elements (norms, activations, softmax, additions) is not counted.
   */
  readonly multiplyAdds: Float64Array;
  /** Offset of the weight that it was made with or is, if any. */
  readonly weight: number | null;
  /** Of `columns`: the first one. */
  readonly firstColumn: number;
  /** Layer of attention, where the kernels were told. */
  readonly layer: number | null;
}
