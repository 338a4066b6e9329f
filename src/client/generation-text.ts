/**
 * The text of a generation: takes the tokens of its continuations, makes pieces of them, finds stop strings, and puts
 * the result together.
 */

import type { AnswerThoughts } from "../chat/thoughts.js";
import type { GenerationOutcome } from "../protocol/generation-outcome.js";
import type {
  GenerationChoice,
  GenerationPiece,
  GenerationRequest,
  GenerationResult,
} from "../protocol/generation-request.js";
import type { ChosenToken, FinishReason } from "../sampling/continuation.js";
import type { GeneratedLogprobs } from "../sampling/logprobs.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type AnswerCalls, type EmittedParts, EmittedText } from "./emitted-text.js";

interface ContinuationText {
  readonly text: EmittedText;
  readonly tokens: number[];
  readonly logprobs: GeneratedLogprobs[];
}

/** What is made of the tokens, where they arrive. */
export interface TextOptions {
  readonly tokenizer: Tokenizer | null;
  /** Texts that end a continuation. */
  readonly stop: readonly string[];
  /** How an answer's thoughts are told from its text; absent or null: there are none. */
  readonly thoughts?: AnswerThoughts | null | undefined;
  /** How its calls of tools are told from its text; absent or null: there are none. */
  readonly calls?: AnswerCalls | null | undefined;
  readonly loadMs: number;
}

export class GenerationText {
  readonly #request: GenerationRequest;
  readonly #options: TextOptions;
  readonly #emit: (piece: GenerationPiece) => void;
  readonly #continuations: readonly ContinuationText[];

  /** @param emit is given the pieces as they become final */
  constructor(request: GenerationRequest, options: TextOptions, emit: (piece: GenerationPiece) => void) {
    this.#request = request;
    this.#options = options;
    this.#emit = emit;
    const { tokenizer, stop, thoughts = null, calls = null } = options;
    this.#continuations = Array.from({ length: request.bestOf }, () => ({
      text: new EmittedText(tokenizer, request.prompt, { stop, thoughts, calls }),
      tokens: [],
      logprobs: [],
    }));
  }

  /**
   * Takes tokens up, to the one with which a stop string ends their continuation.
   * @returns how many of them that are; null when it goes on
   */
  take(index: number, chosen: readonly ChosenToken[]): number | null {
    const { tokens, logprobs: kept, text } = this.#continuations[index];
    for (const [i, { token, logprobs }] of chosen.entries()) {
      tokens.push(token);
      if (logprobs !== undefined) kept.push(logprobs);
      const final = text.push(token);
      if (this.#streams)
        this.#emit(this.#piece(index, final, [token], logprobs === undefined ? [] : [logprobs]));
      if (text.stopped) return i + 1;
    }
    return null;
  }

  /** No more tokens of a continuation will come: what was held back is final. */
  finished(index: number): void {
    const rest = this.#continuations[index].text.flush();
    const isEmpty = rest.text === "" && rest.reasoning === "" && rest.calls.length === 0;
    if (!isEmpty && this.#streams) this.#emit(this.#piece(index, rest, [], []));
  }

  /** The whole; where only the end decides which continuations there are, their pieces are emitted now. */
  result(outcome: GenerationOutcome): GenerationResult {
    const { sampling, prompt } = this.#request;
    const choices = outcome.choices.map(({ index, finishReason, score }, place) => {
      const { text, tokens, logprobs } = this.#continuations[index];
      if (!this.#streams) {
        const whole = {
          text: text.whole,
          reasoning: text.thoughts?.reasoning ?? "",
          calls: (text.calls ?? []).map((call, i) => ({ index: i, ...call })),
        };
        this.#emit(this.#piece(place, whole, tokens, logprobs));
      }
      return this.#choice(index, finishReason, score);
    });
    const { inferences, passes, proposed, accepted, rowsComputed, numCachedTokens, tier } = outcome;
    const { prefillMs, decodeMs, prefillSteps } = outcome;
    return {
      ...choices[0],
      choices,
      promptTokens: prompt.length,
      numCachedTokens,
      tier,
      seed: sampling.seed,
      inferences,
      passes,
      proposed,
      accepted,
      rowsComputed,
      timings: { loadMs: this.#options.loadMs, prefillMs, decodeMs, prefillSteps },
    };
  }

  get #streams(): boolean {
    const { bestOf, n, beams } = this.#request;
    return bestOf === n && beams === null;
  }

  #choice(index: number, finishReason: FinishReason, score: number | undefined): GenerationChoice {
    const { text, tokens, logprobs } = this.#continuations[index];
    const { thoughts, calls } = text;
    const reason = text.stopped ? "stop" : finishReason;
    return {
      text: text.whole,
      ...(thoughts !== null && {
        reasoning: thoughts.reasoning,
        numReasoningTokens: thoughts.numTokens,
      }),
      ...(calls !== null && { toolCalls: calls }),
      tokens,
      ...(this.#request.sampling.logprobs !== null && { logprobs }),
      finishReason: reason === "stop" && calls !== null && calls.length > 0 ? "tool_calls" : reason,
      ...(text.stopText !== null && { stopText: text.stopText }),
      ...(score !== undefined && { score }),
    };
  }

  #piece(
    index: number,
    { text, reasoning, calls }: EmittedParts,
    tokens: readonly number[],
    logprobs: readonly GeneratedLogprobs[],
  ): GenerationPiece {
    const thoughts = (this.#options.thoughts ?? null) === null ? {} : { reasoning };
    return {
      index,
      text,
      ...thoughts,
      ...((this.#options.calls ?? null) !== null && { toolCalls: calls }),
      tokens,
      ...(this.#request.sampling.logprobs !== null && { logprobs }),
    };
  }
}
