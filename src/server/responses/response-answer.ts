/** A response while it is made: its output, its events, and its body, in which what the request said is told back. */
import type { FinishReason } from "../../sampling/continuation.js";
import { withTexts } from "../chunk-text.js";
import type { AnswerCost, Finished } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import { timingsOf } from "../openai-usage.js";
import type { ResponseRequest, ResponseUsage } from "../schemas/responses.js";
import { chatLogprobs } from "../token-text.js";
import { askedLogprobs } from "./response-ask.js";
import { ResponseEvents } from "./response-events.js";
import { ResponseOutput } from "./response-output.js";
import type { StoredItem, StoredResponse } from "./stored-responses.js";

/** What is known of a response at its end. */
interface ResponseEnd {
  readonly status: string;
  readonly completed_at: number | null;
  readonly incomplete_details: { readonly reason: string } | null;
  readonly usage: ResponseUsage | null;
  readonly timings?: object;
}

export class ResponseAnswer {
  readonly output: ResponseOutput;
  readonly events: ResponseEvents;
  readonly #id: string;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #request: ResponseRequest;
  readonly #model: string;
  readonly #input: readonly StoredItem[];
  #isStored: boolean;
  #end: ResponseEnd = { status: "in_progress", completed_at: null, incomplete_details: null, usage: null };
  /** When it has ended, what it is then. */
  #whole: string | null = null;

  constructor(
    id: string,
    { engine, served }: ModelService,
    body: ResponseRequest,
    input: readonly StoredItem[],
  ) {
    this.#id = id;
    this.#request = body;
    this.#model = served.id;
    this.#input = input;
    this.#isStored = body.store !== false;
    this.events = new ResponseEvents((error) => {
      const code = error.status >= 500 ? "server_error" : error.code;
      return this.#json({ status: "failed", error: { code, message: error.message } });
    });
    const alternatives = askedLogprobs(body);
    const { tokenizer } = engine.model;
    this.output = new ResponseOutput(
      (type, fields, texts) => this.events.tell(type, fields, texts),
      alternatives === null
        ? null
        : ({ logprobs = [] }) => chatLogprobs(tokenizer, logprobs, alternatives).content,
    );
  }

  get isStored(): boolean {
    return this.#isStored;
  }

  /** Tells that it has begun; once. */
  begin(): void {
    if (this.events.hasBegun) return;
    this.events.tell("response.created", {}, { response: this.json });
    this.events.tell("response.in_progress", {}, { response: this.json });
  }

  /** Tells what it is, with its last event. */
  tellEnd(): void {
    this.events.tell(`response.${this.#end.status}`, {}, { response: this.json });
  }

  /** @param fits whether what there is to keep can be kept */
  end({ choices: [{ finishReason }], cost }: Finished, fits: (kept: StoredResponse) => boolean): void {
    this.output.end(finishReason);
    const isCut = finishReason === ("length" satisfies FinishReason);
    this.#end = {
      status: isCut ? "incomplete" : "completed",
      completed_at: isCut ? null : Math.floor(Date.now() / 1000),
      incomplete_details: isCut ? { reason: "max_output_tokens" } : null,
      usage: usageOf(cost),
      timings: timingsOf(cost),
    };
    this.#whole = this.#json();
    if (!this.#isStored || fits(this.stored())) return;
    this.#isStored = false;
    this.#whole = this.#json();
  }

  /** As it is answered; what the request said is told back. */
  get json(): string {
    return this.#whole ?? this.#json();
  }

  /** Log-probabilities are told again with the response, and are no part of a conversation. */
  stored(): StoredResponse {
    return { id: this.#id, body: this.json, input: this.#input, output: this.output.said };
  }

  /** @param changed fields with other values */
  #json(changed: object = {}): string {
    return withTexts({ ...this.#withoutOutput, ...changed }, { output: this.output.json });
  }

  get #withoutOutput() {
    const { text, reasoning, ...body } = this.#request;
    const { status, ...end } = this.#end;
    return {
      ...{ id: this.#id, object: "response", created_at: this.#created, status },
      ...{ background: false, error: null },
      ...end,
      ...{ model: this.#model, store: this.#isStored, truncation: "disabled", service_tier: "default" },
      instructions: body.instructions ?? null,
      previous_response_id: body.previous_response_id ?? null,
      max_output_tokens: body.max_output_tokens ?? null,
      max_tool_calls: body.max_tool_calls ?? null,
      metadata: body.metadata ?? {},
      parallel_tool_calls: body.parallel_tool_calls ?? true,
      tool_choice: body.tool_choice ?? "auto",
      tools: body.tools ?? [],
      temperature: body.temperature ?? null,
      top_p: body.top_p ?? null,
      top_logprobs: body.top_logprobs ?? 0,
      text: { format: text?.format ?? { type: "text" } },
      reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
      ...(body.prompt_cache_key != null && { prompt_cache_key: body.prompt_cache_key }),
      ...(body.safety_identifier != null && { safety_identifier: body.safety_identifier }),
      ...(body.user != null && { user: body.user }),
    };
  }
}

function usageOf(cost: AnswerCost): ResponseUsage {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = cost;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
