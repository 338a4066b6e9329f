/** What comes of a generation, as it crosses from the engine to its client: tokens as they are chosen, and how it ended. */
import type { ChosenToken, FinishReason } from "../sampling/continuation.js";

/** What a prompt waited for, when a KV tier was asked for its K and V. */
export interface TierWait {
  /** Tokens of the prompt whose K and V came; they are among those that were cached. */
  readonly tokens: number;
  /** Milliseconds from the request until the tier was asked, and from there until it had answered or was given up. */
  readonly fromMs: number;
  readonly ms: number;
}

/** How a generation ended. */
export interface GenerationOutcome {
  /** The continuations that were wanted, best first where that was asked for. */
  readonly choices: readonly {
    /** Its number among all that were generated. */
    readonly index: number;
    readonly finishReason: FinishReason;
    readonly score?: number;
  }[];
  readonly numCachedTokens: number;
  /** Null: no tier was asked for it. */
  readonly tier: TierWait | null;
  readonly inferences: number;
  readonly passes: number;
  readonly proposed: number;
  readonly accepted: number;
  readonly rowsComputed: number;
  /** Milliseconds until the first token was chosen, and from there to the end. */
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Forward passes until the first token was chosen. */
  readonly prefillSteps: number;
}

/** Of a generation that was ended before it began. @param n continuations that were wanted */
export function unstartedOutcome(n: number): GenerationOutcome {
  return {
    choices: Array.from({ length: n }, (_, index) => ({ index, finishReason: "abort" as const })),
    ...{
      numCachedTokens: 0,
      tier: null,
      inferences: 0,
      passes: 0,
      proposed: 0,
      accepted: 0,
      rowsComputed: 0,
    },
    ...{ prefillMs: 0, decodeMs: 0, prefillSteps: 0 },
  };
}

/** Where a generation's tokens go, and how it ended: exactly one of `end` and `fail`, last. */
export interface GenerationSink {
  /**
   * What a step adds to a continuation: a token, or several where proposals were right. Where the request's
   * `endsByText`, it goes on when `resume` is called.
   */
  tokens(index: number, chosen: readonly ChosenToken[]): void;
  /** A continuation has ended: no more tokens of it will come. */
  finished(index: number): void;
  end(outcome: GenerationOutcome): void;
  fail(error: unknown): void;
}
