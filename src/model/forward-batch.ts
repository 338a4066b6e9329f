/** What a forward pass is handed. Explicit: nothing about sequences, cache or mode is ambient. */

/** Rows of one sequence in a batch. */
export interface SequenceRows {
  /** Block ids of the sequence: row p of its K and V is in block ⌊p / 16⌋. Covers the new rows. */
  readonly blockTable: readonly number[];
  /** How many of the batch's rows are this sequence's, in order, after those of the sequences before it. */
  readonly newTokens: number;
  /** Which of its new rows become logits. */
  readonly wantsLogits: "none" | "last" | "all";
}

/** T rows of new tokens, of one sequence or of many. */
export interface ForwardBatch {
  /** (T) token ids, each below the vocabulary's size. */
  readonly tokenIds: readonly number[];
  /** (T) absolute positions, ascending by one within a sequence. */
  readonly positions: readonly number[];
  /** (T) slots that take the rows' K and V: block id · 16 + position mod 16. */
  readonly slotMapping: readonly number[];
  readonly sequences: readonly SequenceRows[];
}
