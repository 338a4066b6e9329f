/** What is asked of the engine where nothing is generated: a prompt goes through the model, and a vector comes back. Plain data. */

/** Which vector of a prompt. */
export type ReadoutOf =
  /** The row after the final norm, of the last token. */
  | { readonly kind: "last" }
  /** The mean of these rows over all tokens. All of them are computed: nothing is shared with others. */
  | { readonly kind: "mean" }
  /** The logits of these tokens after the last one. */
  | { readonly kind: "logits"; readonly tokens: readonly number[] };

export interface ReadoutRequest {
  /** Token ids, checked, at least one. */
  readonly prompt: readonly number[];
  readonly of: ReadoutOf;
  /** Requests with the same salt share K and V; null: shared with none. */
  readonly salt: string | null;
  /** The tenant that asks: see `EngineCore.start`. */
  readonly tenant: string;
}

/** What became of it. */
export interface ReadoutOutcome {
  /** Every value is finite. Those of a single row are f32; a mean is summed up in f64, by position, and divided once. */
  readonly vector: Float64Array<ArrayBuffer>;
  /** Tokens whose K and V were there already. */
  readonly numCachedTokens: number;
  /** Rows that went through the model. */
  readonly rowsComputed: number;
}

/** Receives it. One call is the last. */
export interface ReadoutSink {
  end(outcome: ReadoutOutcome): void;
  /** It was cancelled. */
  cancelled(): void;
  fail(error: unknown): void;
}
