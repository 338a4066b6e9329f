/** `POST /v1/chat/completions`: the next message of a conversation, for models with a chat template. */

import type { GenerationPiece } from "../../protocol/generation-request.js";
import type { GeneratedLogprobs } from "../../sampling/logprobs.js";
import { ApiError } from "../api-error.js";
import { type ChatAsk, prepareChat } from "../chat-generation.js";
import { ChunkText, choiceText, listsText, wholeText } from "../chunk-text.js";
import type { Exchange } from "../exchange.js";
import { defaultReplyTokens, type Finished, generateOptions } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import { chatPromptAsk, thoughtFields, toolCallDeltaOf, toolCallsOf, toolChoiceAsk } from "../openai-chat.js";
import { timingsOf, usageOf } from "../openai-usage.js";
import { type ChatRequest, chatRequest, chatResponse } from "../schemas/chat.js";
import { askedStructure } from "../schemas/structure.js";
import { type Service, streamAnswer } from "../service.js";
import { effortVariables } from "../thought-variables.js";
import { chatLogprobs, shownPerTurn } from "../token-text.js";
import { type App, jsonText, routeWithBody } from "./routing.js";

export function addChat(app: App, service: Service): void {
  const { limits } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/chat/completions",
      operation: "chat",
      summary: "Answer a conversation.",
      body: chatRequest(limits),
      response: chatResponse,
      streams: true,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const chat = await prepareChat(service, model, exchange, settle(model, exchange, body));
      const answer = new ChatAnswer(service, model, body);
      if (body.stream !== true) return jsonText(context, await answer.whole(await chat.run()));
      return streamAnswer(service, exchange, async (send) => {
        const hasBegun: boolean[] = [];
        const begin = (choice: number) => {
          if (hasBegun[choice]) return;
          hasBegun[choice] = true;
          send(answer.firstChunk(choice));
        };
        const finished = await chat.run((choice, piece) => {
          begin(choice);
          const { text, reasoning = "", toolCalls = [], tokens, logprobs } = piece;
          const hasLogprobs = logprobs !== undefined && tokens.length > 0;
          if (text !== "" || reasoning !== "" || toolCalls.length > 0 || hasLogprobs) {
            send(answer.chunk(choice, piece));
          }
        });
        // An answer may be empty; its role is said all the same.
        for (const choice of finished.choices.keys()) begin(choice);
        for (const chunk of answer.lastChunks(finished)) send(chunk);
      });
    },
  );
}

/** The request as all routes of chats have it. */
function settle(model: ModelService, exchange: Exchange, body: ChatRequest): ChatAsk {
  if (body.top_logprobs != null && body.logprobs !== true) {
    throw new ApiError(400, "invalid_request", "top_logprobs needs logprobs to be true.", {
      param: "top_logprobs",
    });
  }
  const logprobs = body.logprobs === true ? (body.top_logprobs ?? 0) : undefined;
  const prompt = chatPromptAsk(body);
  const effort = effortVariables(model, body.reasoning_effort, "reasoning_effort");
  return {
    ...prompt,
    variables: { ...effort, ...prompt.variables },
    ...toolChoiceAsk(body),
    options: {
      ...generateOptions(model, body, exchange.principal!, defaultReplyTokens(model, logprobs)),
      logprobs,
    },
    structure: askedStructure(body),
  };
}

/** Puts an answer together, whole or in chunks. */
class ChatAnswer {
  readonly #envelope: object;
  readonly #chunks: ChunkText;
  /** Alternatives to each token; null: no log-probabilities. */
  readonly #logprobs: number | null;
  readonly #model: ModelService;

  constructor({ version }: Service, model: ModelService, body: ChatRequest) {
    this.#model = model;
    this.#logprobs = body.logprobs === true ? (body.top_logprobs ?? 0) : null;
    this.#envelope = {
      id: `chatcmpl-${crypto.randomUUID()}`,
      object: body.stream === true ? "chat.completion.chunk" : "chat.completion",
      created: Math.floor(Date.now() / 1000),
      model: model.served.id,
      system_fingerprint: `lastrow-${version}`,
    };
    this.#chunks = new ChunkText(this.#envelope, body.stream_options?.include_usage === true);
  }

  whole(finished: Finished): Promise<string> {
    const { cost } = finished;
    const end = { usage: usageOf(cost), timings: timingsOf(cost) };
    return wholeText(this.#envelope, this.#wholeChoices(finished), end);
  }

  async *#wholeChoices({ choices }: Finished): AsyncGenerator<string> {
    for (const [index, choice] of choices.entries()) {
      const { text, reasoning = "", toolCalls = [], logprobs, finishReason } = choice;
      const hasCalls = toolCalls.length > 0;
      const message = {
        role: "assistant",
        content: hasCalls && text === "" ? null : text,
        ...thoughtFields(reasoning),
        ...(hasCalls && { tool_calls: toolCallsOf(toolCalls) }),
        refusal: null,
      };
      yield choiceText({ index, message }, await this.#logprobsText(logprobs), finishReason);
    }
  }

  firstChunk(choice: number): string {
    return this.#chunk(choice, { role: "assistant", content: "" }, null, null);
  }

  chunk(choice: number, { text, reasoning = "", toolCalls = [], logprobs }: GenerationPiece): string {
    const hasCalls = toolCalls.length > 0;
    const delta = {
      ...thoughtFields(reasoning),
      ...((text !== "" || (reasoning === "" && !hasCalls)) && { content: text }),
      ...(hasCalls && { tool_calls: toolCalls.map(toolCallDeltaOf) }),
    };
    return this.#chunk(choice, delta, this.#logprobsOf(logprobs), null);
  }

  /** Why each choice has ended, and the usage if it is wanted. */
  *lastChunks({ choices, cost }: Finished): Generator<string> {
    const timings = timingsOf(cost);
    for (const [i, { finishReason }] of choices.entries()) {
      yield this.#chunk(i, {}, null, finishReason, i === choices.length - 1 ? timings : undefined);
    }
    yield* this.#chunks.usage(usageOf(cost));
  }

  #chunk(
    index: number,
    delta: object,
    logprobs: object | null,
    finishReason: string | null,
    timings?: object,
  ): string {
    return this.#chunks.chunk(choiceText({ index, delta }, JSON.stringify(logprobs), finishReason), timings);
  }

  #logprobsOf(logprobs: readonly GeneratedLogprobs[] | undefined) {
    if (this.#logprobs === null) return null;
    return chatLogprobs(this.#model.engine.model.tokenizer, logprobs ?? [], this.#logprobs);
  }

  /** As JSON, all of a choice's. */
  #logprobsText(logprobs: readonly GeneratedLogprobs[] | undefined): Promise<string> | "null" {
    const count = this.#logprobs;
    if (count === null) return "null";
    const { tokenizer } = this.#model.engine.model;
    return listsText(shownPerTurn(logprobs ?? [], count, (some) => chatLogprobs(tokenizer, some, count)));
  }
}
