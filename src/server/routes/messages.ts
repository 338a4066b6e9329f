/** `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's way to answer a conversation. */
import { quoteValue } from "../../quote-value.js";
import { ANTHROPIC_STREAM } from "../anthropic/anthropic-form.js";
import { askedTools, continuesLast, conversationOf } from "../anthropic/conversation.js";
import { MessageEvents, wholeMessage } from "../anthropic/message-events.js";
import { ApiError } from "../api-error.js";
import { type ChatAsk, type ChatPromptAsk, chatPrompt, prepareChat } from "../chat-generation.js";
import type { Exchange } from "../exchange.js";
import { generateOptions } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import {
  type CountTokensRequest,
  countTokensRequest,
  countTokensResponse,
  type MessagesRequest,
  messagesRequest,
  messagesResponse,
} from "../schemas/messages.js";
import type { AskedStructure } from "../schemas/structure.js";
import { type Service, streamAnswer } from "../service.js";
import { thoughtVariables } from "../thought-variables.js";
import { type App, jsonText, routeWithBody } from "./routing.js";

export function addMessages(app: App, service: Service): void {
  const { limits } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/messages",
      operation: "chat",
      summary: "Anthropic's: answer a conversation.",
      body: messagesRequest(limits),
      response: messagesResponse,
      streams: true,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const chat = await prepareChat(service, model, exchange, settle(model, exchange, body));
      const start = {
        id: `msg_${crypto.randomUUID().replaceAll("-", "")}`,
        model: model.served.id,
        promptTokens: chat.promptTokens,
        maxTokens: body.max_tokens,
      };
      if (body.stream !== true) {
        return jsonText(context, JSON.stringify(wholeMessage(start, await chat.run())));
      }
      return streamAnswer(
        service,
        exchange,
        async (send) => {
          const events = new MessageEvents(start, send);
          events.end(await chat.run((_, piece) => events.piece(piece)));
        },
        ANTHROPIC_STREAM,
      );
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/messages/count_tokens",
      summary: "Anthropic's: tokens of a conversation.",
      body: countTokensRequest(limits),
      wants: "text",
      response: countTokensResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const { tokens } = await chatPrompt(model, exchange, promptAsk(model, body));
      return context.json({ input_tokens: tokens.length });
    },
  );
}

function settle(model: ModelService, exchange: Exchange, body: MessagesRequest): ChatAsk {
  const { max_tokens, temperature, top_p, top_k, stop_sequences: stop, cache_salt } = body;
  const fields = { max_tokens, temperature, top_p, top_k, stop, cache_salt };
  return {
    ...promptAsk(model, body),
    ...askedTools(body),
    options: generateOptions(model, fields, exchange.principal!),
    structure: askedFormat(body),
  };
}

function promptAsk(model: ModelService, body: CountTokensRequest): ChatPromptAsk {
  const messages = conversationOf(body);
  return {
    messages,
    messagesParam: "messages",
    tools: askedTools(body).tools,
    variables: variablesOf(model, body),
    variablesParam: "thinking",
    addGenerationPrompt: true,
    continueLast: continuesLast(messages),
  };
}

/** Anthropic's models think when they are told to, and how much, where they know that. */
function variablesOf(model: ModelService, { thinking, output_config }: CountTokensRequest) {
  const { thoughtSwitch = null, knowsEffort = false } = model.texts?.abilities ?? {};
  const effort = output_config?.effort ?? null;
  // High is what it is without a word of it.
  if (effort !== null && effort !== "high" && !knowsEffort) {
    const param = "output_config.effort";
    const message = `${param} cannot be ${quoteValue(effort)}: the chat template of ${model.served.id} knows no effort.`;
    throw new ApiError(400, "invalid_request", message, { param });
  }
  const more = effort !== null && knowsEffort ? { reasoning_effort: effort } : {};
  if (thinking?.type === "adaptive") return more;
  if (thinking == null) return { ...more, ...(thoughtSwitch !== null && { [thoughtSwitch]: false }) };
  const isOn = thinking.type === "enabled";
  return { ...more, ...thoughtVariables(model, { isOn, effort: null, param: "thinking" }) };
}

function askedFormat({ output_config, output_format }: CountTokensRequest): AskedStructure | null {
  const [param, format] =
    output_config?.format == null
      ? ["output_format", output_format]
      : ["output_config.format", output_config.format];
  if (format == null) return null;
  return { options: { schema: format.schema as AskedStructure["options"]["schema"] }, param };
}
