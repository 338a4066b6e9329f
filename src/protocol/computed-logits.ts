/** Rows of logits that a step has computed for one sequence. */
export interface ComputedLogits {
  /** Position of the token that the first row follows. */
  readonly firstPosition: number;
  readonly count: number;
  /** (V) Row `i`, from 0: a view that the next step overwrites. */
  row(i: number): Float32Array;
}
