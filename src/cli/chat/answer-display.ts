/**
 * An answer as it is shown while it comes: on a terminal broken into lines at words, thoughts dim and apart, and below it what
 * it took; into a pipe the text alone, or JSON.
 */
import type { ReplyResult } from "../../library/conversation.js";
import type { GenerationPiece } from "../../protocol/generation-request.js";
import { formatCount } from "../format.js";
import { toJson } from "../json.js";
import { coloursFor, type Io, storyWrap, tellAside, textFor, type WordWrap, write } from "../terminal.js";

export interface AnswerDisplayOptions {
  readonly isTerminal: boolean;
  readonly json: boolean;
  /** Most tokens of an answer; null: the model says. */
  readonly maxTokens: number | null;
}

export class AnswerDisplay {
  readonly #io: Io;
  readonly #options: AnswerDisplayOptions;
  readonly #wrap: WordWrap | null;
  #place: "nothing" | "thoughts" | "text" = "nothing";

  constructor(io: Io, options: AnswerDisplayOptions) {
    this.#io = io;
    this.#options = options;
    this.#wrap = options.isTerminal ? storyWrap(io.stdout) : null;
  }

  async piece({ text, reasoning = "" }: GenerationPiece): Promise<void> {
    const { isTerminal, json } = this.#options;
    if (json) return;
    if (reasoning !== "" && isTerminal) {
      if (this.#place === "nothing") await this.#dim("Thinking…\n");
      this.#place = "thoughts";
      await this.#dim(textFor(this.#io, reasoning));
    }
    if (text === "") return;
    if (this.#place === "thoughts") await this.#dim("\n… done thinking.\n\n");
    this.#place = "text";
    await this.#show(textFor(this.#io, text));
  }

  async end(result: ReplyResult): Promise<void> {
    const { isTerminal, json } = this.#options;
    if (json) {
      await write(this.#io, `${toJson(asJson(result))}\n`);
      return;
    }
    if (this.#place === "thoughts") await this.#dim("\n… it has not done thinking.");
    await write(this.#io, `${this.#wrap?.flush() ?? ""}\n`);
    if (isTerminal) tellAside(this.#io, this.#summary(result));
  }

  /** It has failed: what comes next begins a line. */
  async failed(): Promise<void> {
    if (this.#place !== "nothing") await write(this.#io, `${this.#wrap?.flush() ?? ""}\n`);
  }

  /** `48 of 75 prompt tokens from the cache, 12 fed again · 23 tokens · 310 tokens/s` */
  #summary(result: ReplyResult): string {
    const { promptTokens, numCachedTokens, numRefedTokens, numDroppedMessages, tokens } = result;
    const { inferences, timings, numReasoningTokens = 0 } = result;
    const rate = inferences > 1 && timings.decodeMs > 0 ? ((inferences - 1) / timings.decodeMs) * 1000 : null;
    const again = numRefedTokens > 0 ? `, ${formatCount(numRefedTokens)} fed again` : "";
    const thought = numReasoningTokens > 0 ? `, ${formatCount(numReasoningTokens)} of them thoughts` : "";
    return [
      ...(numDroppedMessages > 0
        ? [
            numDroppedMessages === 1
              ? "the oldest message dropped"
              : `the ${numDroppedMessages} oldest messages dropped`,
          ]
        : []),
      `${formatCount(numCachedTokens)} of ${formatCount(promptTokens)} prompt tokens from the cache${again}`,
      `${formatCount(tokens.length)} ${tokens.length === 1 ? "token" : "tokens"}${thought}`,
      ...(rate === null ? [] : [`${rate < 10 ? rate.toFixed(1) : formatCount(Math.round(rate))} tokens/s`]),
      ...this.#ending(result),
    ].join(" · ");
  }

  #ending({ finishReason, tokens }: ReplyResult): string[] {
    if (finishReason === "abort") return ["stopped"];
    if (finishReason !== "length") return [];
    const { maxTokens } = this.#options;
    return maxTokens !== null && tokens.length >= maxTokens
      ? ["cut there (--max-tokens)"]
      : ["cut there: the context is full"];
  }

  #dim(text: string): Promise<void> {
    return this.#show(text, coloursFor(this.#io.stdout, this.#io.env).dim);
  }

  #show(text: string, style: (text: string) => string = String): Promise<void> {
    return write(this.#io, this.#wrap === null ? style(text) : this.#wrap.push(text, style));
  }
}

function asJson(result: ReplyResult) {
  const { text, reasoning = "", tokens, promptTokens, numCachedTokens, finishReason, seed } = result;
  const { prefillMs, decodeMs } = result.timings;
  return {
    role: "assistant",
    content: text,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    tokens,
    ...(result.numReasoningTokens !== undefined && { numReasoningTokens: result.numReasoningTokens }),
    ...{ promptTokens, numCachedTokens, numRefedTokens: result.numRefedTokens },
    numDroppedMessages: result.numDroppedMessages,
    ...{ finishReason, seed, timings: { prefillMs, decodeMs } },
  };
}
