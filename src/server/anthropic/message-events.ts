/**
 * One answer as Anthropic's API gives it: whole, or as events in its order: the message begins; each block of its content
 * begins, grows and ends before the next one begins; the message is said to end, and ends.
 */
import type { GenerationChoice, GenerationPiece } from "../../protocol/generation-request.js";
import type { ToolCallDelta } from "../../tools/tool.js";
import type { AnswerCost, Finished } from "../generation-service.js";
import type { MessageUsage } from "../schemas/messages.js";
import { wholeCalls } from "../whole-calls.js";

/** Sends one event. */
type Send = (data: string, name: string) => void;

/** What is known of a message before anything is said. */
export interface MessageStart {
  readonly id: string;
  readonly model: string;
  /** Tokens of the prompt; how many of them were cached is known at the end. */
  readonly promptTokens: number;
  /** Most tokens of the answer that were asked for. */
  readonly maxTokens: number;
}

/** Anthropic's signatures prove thoughts to Anthropic alone: there is nothing to prove here. */
const NO_SIGNATURE = "";

export class MessageEvents {
  readonly #start: MessageStart;
  readonly #send: Send;
  #hasBegun = false;
  /** The block that is open: its kind, of a call with the call's place. */
  #open: string | null = null;
  #numBlocks = 0;

  constructor(start: MessageStart, send: Send) {
    this.#start = start;
    this.#send = send;
  }

  piece({ text, reasoning = "", toolCalls = [] }: GenerationPiece): void {
    this.#begin();
    if (reasoning !== "") {
      this.#block("thinking", { type: "thinking", thinking: "", signature: NO_SIGNATURE });
      this.#delta({ type: "thinking_delta", thinking: reasoning });
    }
    if (text !== "") {
      this.#block("text", { type: "text", text: "" });
      this.#delta({ type: "text_delta", text });
    }
    for (const call of toolCalls) this.#call(call);
  }

  end({ choices: [choice], cost }: Finished): void {
    this.#begin();
    this.#close();
    this.#event("message_delta", {
      delta: endOf(choice, this.#start.maxTokens),
      usage: messageUsage(cost),
    });
    this.#event("message_stop", {});
  }

  #call({ index, id, name, arguments: text }: ToolCallDelta): void {
    if (id !== undefined) this.#block(`call ${index}`, { type: "tool_use", id, name, input: {} });
    if (text !== "") this.#delta({ type: "input_json_delta", partial_json: text });
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const { promptTokens: input_tokens, ...start } = this.#start;
    const usage = {
      ...{ input_tokens, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
    };
    const ends = { stop_reason: null, stop_sequence: null };
    this.#event("message_start", { message: { ...envelope(start), content: [], ...ends, usage } });
  }

  #block(kind: string, block: object): void {
    if (this.#open === kind) return;
    this.#close();
    this.#open = kind;
    this.#event("content_block_start", { index: this.#numBlocks, content_block: block });
  }

  #delta(delta: object): void {
    this.#event("content_block_delta", { index: this.#numBlocks, delta });
  }

  #close(): void {
    if (this.#open === null) return;
    this.#open = null;
    this.#event("content_block_stop", { index: this.#numBlocks });
    this.#numBlocks += 1;
  }

  #event(type: string, rest: object): void {
    this.#send(JSON.stringify({ type, ...rest }), type);
  }
}

/** The message as one body. */
export function wholeMessage(start: Omit<MessageStart, "promptTokens">, { choices, cost }: Finished): object {
  const [choice] = choices;
  const { text, reasoning = "", toolCalls = [] } = choice;
  return {
    ...envelope(start),
    content: [
      ...(reasoning === "" ? [] : [{ type: "thinking", thinking: reasoning, signature: NO_SIGNATURE }]),
      ...(text === "" ? [] : [{ type: "text", text }]),
      ...wholeCalls(toolCalls).map((call) => ({ type: "tool_use", ...call })),
    ],
    ...endOf(choice, start.maxTokens),
    usage: messageUsage(cost),
  };
}

function envelope({ id, model }: Pick<MessageStart, "id" | "model">) {
  return { id, type: "message", role: "assistant", model };
}

/** How it ended. */
function endOf(choice: GenerationChoice, maxTokens: number) {
  return { stop_reason: stopReason(choice, maxTokens), stop_sequence: choice.stopText ?? null };
}

function stopReason({ finishReason, stopText, tokens }: GenerationChoice, maxTokens: number): string {
  if (finishReason === "tool_calls") return "tool_use";
  if (finishReason !== "length") return stopText === undefined ? "end_turn" : "stop_sequence";
  return tokens.length < maxTokens ? "model_context_window_exceeded" : "max_tokens";
}

function messageUsage(cost: AnswerCost): MessageUsage {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = cost;
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
    ...(reasoningTokens !== null && { output_tokens_details: { thinking_tokens: reasoningTokens } }),
  };
}
