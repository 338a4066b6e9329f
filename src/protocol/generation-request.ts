/** What a generation is asked for and what it gives. */

import { LastrowError } from "../errors.js";
import type { PackedGrammar } from "../grammar/packed-grammar.js";
import { shown } from "../option-checks.js";
import type { ThoughtTokens } from "../sampling/after-thoughts.js";
import type { BeamSettings } from "../sampling/beam-settings.js";
import type { FinishReason } from "../sampling/continuation.js";
import type { GeneratedLogprobs } from "../sampling/logprobs.js";
import type { ResolvedSampling } from "../sampling/options.js";
import type { ToolCall, ToolCallDelta } from "../tools/tool.js";
import type { TierWait } from "./generation-outcome.js";

/** How the rows of earlier tokens come to be there: from the KV cache, or computed again each time. */
export type Mode = "cached" | "recompute";

/** What one step adds to one continuation. */
export interface GenerationPiece {
  /** Which continuation, from 0; always 0 unless `n` asks for more. */
  readonly index: number;
  /** Text that is final: whole characters, and no beginning of a stop string. May be empty. */
  readonly text: string;
  /** Thoughts that are final, apart from the text; only in a chat whose template knows thoughts. May be empty. */
  readonly reasoning?: string;
  /** What is new of calls of tools, apart from the text; only in an answer that may call some. May be empty. */
  readonly toolCalls?: readonly ToolCallDelta[];
  /**
   * Ids of the tokens generated since the last piece: one; none in a last piece of held-back text; all of them where
   * only the end decides which continuations there are (`bestOf`, `numBeams`).
   */
  readonly tokens: readonly number[];
  /** One entry for each of `tokens`; only when asked for. */
  readonly logprobs?: readonly GeneratedLogprobs[];
}

/** How long a generation took, by the caller's clock: other requests at the same time count in. */
export interface GenerationTimings {
  /** Milliseconds from the start of loading until the model could be used. */
  readonly loadMs: number;
  /** Milliseconds from the request until its first token was chosen, waiting for others included. */
  readonly prefillMs: number;
  /** Milliseconds from there to the end. */
  readonly decodeMs: number;
  /** The engine's forward passes from the request until that first token, those for other requests included. */
  readonly prefillSteps: number;
}

/** One continuation of the prompt. */
export interface GenerationChoice<Value = unknown> {
  /** All pieces' text joined; empty for a model without a tokenizer. */
  readonly text: string;
  /** All pieces' thoughts joined; only in a chat whose template knows thoughts. */
  readonly reasoning?: string;
  /** How many of `tokens` belong to the thoughts, their markers included; where there is `reasoning`. */
  readonly numReasoningTokens?: number;
  /** Calls of tools, in their order; only in an answer that may call some. May be empty. */
  readonly toolCalls?: readonly ToolCall[];
  /** Generated ids, without an end token (unless `ignoreEos`). */
  readonly tokens: readonly number[];
  /** One entry for each of `tokens`; only when asked for. */
  readonly logprobs?: readonly GeneratedLogprobs[];
  /** `tool_calls`: it ended by itself, and calls tools. */
  readonly finishReason: FinishReason | "tool_calls";
  /** The text of `stop` that ended it; absent where none did. */
  readonly stopText?: string;
  /**
   * What the text says, of a generation with a `schema`: parsed, and as the schema's validation gives it. Absent where the
   * answer did not end by itself: its text is then the beginning of one.
   */
  readonly value?: Value;
  /** Of a beam search: the sum of log-probabilities over length ^ `lengthPenalty`. */
  readonly score?: number;
}

/** A finished generation: its first continuation, and all of them. */
export interface GenerationResult<Value = unknown> extends GenerationChoice<Value> {
  /** As many as `n` asked for, best first with `bestOf` and `numBeams`; the first one is the result's own. */
  readonly choices: readonly GenerationChoice<Value>[];
  /** L: tokens of the prompt, a start token included. */
  readonly promptTokens: number;
  /** Tokens of the prompt whose K and V were there already, computed for an earlier prompt that begins alike. */
  readonly numCachedTokens: number;
  /** What was loaded for it from a KV tier (`LoadOptions.tier`); null: none was asked, since there is none, or computing is faster. */
  readonly tier: TierWait | null;
  /** The seed that the same text comes of again: the one that was given, or the one that was drawn. */
  readonly seed: number;
  /** I: times that the logits of a next token were computed. */
  readonly inferences: number;
  /**
   * Forward passes that these logits came from: fewer than `inferences` where several continuations were in one, or
   * proposals were accepted. With one continuation, `inferences` − `accepted`.
   */
  readonly passes: number;
  /** With `speculate`: tokens that were proposed and computed along. */
  readonly proposed: number;
  /** Those of the proposed that were kept. */
  readonly accepted: number;
  /** Rows that went through the model, counted where they entered the forward pass. */
  readonly rowsComputed: number;
  /** How long it took. */
  readonly timings: GenerationTimings;
}

/** What the text is held to. */
interface RequestConstraint {
  /** See `GrammarStore.grammar`. */
  readonly key: string;
  readonly grammar: PackedGrammar;
  /** Tokens that end a text where it is whole, also where end tokens are ignored. */
  readonly endTokenIds: readonly number[];
  /** The text may think first; null: it does not. */
  readonly thoughts: ThoughtTokens | null;
}

/** What the engine is asked for: plain data, without text. */
export interface GenerationRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly mode: Mode;
  readonly sampling: ResolvedSampling;
  /** Continuations that are wanted, of `bestOf` that are generated. */
  readonly n: number;
  readonly bestOf: number;
  /** Null: sample. */
  readonly beams: BeamSettings | null;
  /** Most tokens that prompt look-up proposes for a step; 0: none. */
  readonly speculate: number;
  /** Requests with the same salt share K and V; null: shared with none. */
  readonly salt: string | null;
  /** The tenant that asks: see `EngineCore.start`. */
  readonly tenant: string;
  /**
   * A stop string may end a continuation: after tokens of it, the engine waits to be told how it goes on. Not in a beam
   * search, whose beams are cut where their text is made.
   */
  readonly endsByText: boolean;
  /** Null: anything may come. Not with a beam search, nor with `endsByText`. */
  readonly constraint: RequestConstraint | null;
  /** Tokens that end the text; empty to ignore them. */
  readonly eosTokenIds: ReadonlySet<number>;
}

/** Rows through the model for L prompt tokens and I inferences: the formula that the counters are checked against. */
export function expectedRows(mode: Mode, promptTokens: number, inferences: number): number {
  if (inferences === 0) return 0;
  if (mode === "cached") return promptTokens + inferences - 1;
  return inferences * promptTokens + (inferences * (inferences - 1)) / 2;
}

/**
 * Checks a prompt against the model.
 * @throws LastrowError `token_out_of_range`, `context_length_exceeded`, `empty_prompt`
 */
export function checkPrompt(
  tokens: readonly number[],
  config: { readonly vocabSize: number; readonly contextLength: number },
): void {
  checkTokenIds(tokens, config.vocabSize);
  if (tokens.length > config.contextLength) {
    throw new LastrowError(
      "context_length_exceeded",
      `The prompt has ${tokens.length} tokens; this model's context is ${config.contextLength}.`,
    );
  }
}

/** @throws LastrowError `token_out_of_range` */
export function checkTokenIds(tokens: readonly number[], vocabSize: number): void {
  for (const [i, token] of tokens.entries()) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
      throw new LastrowError(
        "token_out_of_range",
        `Token ${i} of the prompt is ${shown(token)}; this model's ids are 0 to ${vocabSize - 1}.`,
      );
    }
  }
}
