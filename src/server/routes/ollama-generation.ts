/** `POST /api/chat` and `/api/generate`: Ollama's ways to generate. */
import type { GenerateOptions } from "../../library/generate-options.js";
import { ApiError } from "../api-error.js";
import { type ChatAsk, type PreparedChat, prepareChat } from "../chat-generation.js";
import type { Exchange } from "../exchange.js";
import { generateAll } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import { chatForm, generateForm, OllamaAnswer, type SayingForm } from "../ollama/ollama-answer.js";
import { ollamaConversation } from "../ollama/ollama-conversation.js";
import { NDJSON, OLLAMA_STREAM } from "../ollama/ollama-form.js";
import { askedModel } from "../ollama/ollama-models.js";
import { ollamaGenerateOptions, ollamaStructure, ollamaVariables } from "../ollama/ollama-options.js";
import { toolChoiceAsk, toolsOf } from "../openai-chat.js";
import {
  type OllamaChatRequest,
  type OllamaGenerateRequest,
  ollamaChatRequest,
  ollamaChatResponse,
  ollamaGenerateRequest,
  ollamaGenerateResponse,
} from "../schemas/ollama.js";
import {
  infillEnds,
  promptTokens,
  reserveAnswer,
  type Service,
  streamAnswer,
  takeTurn,
  withinTokens,
} from "../service.js";
import { type App, type AppContext, jsonText, routeWithBody } from "./routing.js";

type Prepare = (model: ModelService, exchange: Exchange) => Promise<PreparedChat>;

export function addOllamaGeneration(app: App, service: Service): void {
  const { limits } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/api/chat",
      operation: "chat",
      summary: "Ollama's: answer a conversation.",
      body: ollamaChatRequest(limits),
      response: ollamaChatResponse,
      streams: NDJSON,
    },
    service,
    (context, body) => {
      const messages = ollamaConversation(body.messages ?? []);
      const prepare: Prepare = (model, exchange) =>
        prepareOllamaChat(service, model, exchange, {
          ...{ body, messages, messagesParam: "messages" },
          tools: { tools: toolsOf(body.tools), ...toolChoiceAsk(body) },
        });
      return answer(service, context, body, chatForm, messages.length === 0 ? null : prepare);
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/api/generate",
      operation: "text_completion",
      summary: "Ollama's: answer a prompt, or continue it as it is.",
      body: ollamaGenerateRequest(limits),
      response: ollamaGenerateResponse,
      streams: NDJSON,
    },
    service,
    (context, body) => {
      const { prompt, system, suffix } = body;
      const prepare: Prepare = (model, exchange) =>
        isPlain(model, body)
          ? prepareText(service, model, exchange, body)
          : prepareOllamaChat(service, model, exchange, {
              body,
              messages: [
                ...(system ? [{ role: "system" as const, content: system }] : []),
                { role: "user", content: prompt ?? "" },
              ],
              messagesParam: "prompt",
              tools: NO_TOOLS,
            });
      return answer(service, context, body, generateForm, prompt || suffix ? prepare : null);
    },
  );
}

/** @param prepare null: there is nothing to answer, and only the model is wanted */
async function answer(
  service: Service,
  context: AppContext,
  body: OllamaChatRequest | OllamaGenerateRequest,
  form: SayingForm,
  prepare: Prepare | null,
): Promise<Response> {
  const exchange = context.get("exchange");
  const { model, loadMs } = await askedModel(service, body.model, exchange);
  const logprobs = body.logprobs === true ? (body.top_logprobs ?? 0) : null;
  const said = new OllamaAnswer({ model, name: body.model, loadMs, exchange, form, logprobs });
  if (prepare === null) {
    expectStaying(body);
    return jsonText(context, said.loaded());
  }
  const prepared = await prepare(model, exchange);
  if (body.stream === false) return jsonText(context, await said.whole(await prepared.run()));
  return streamAnswer(
    service,
    exchange,
    async (send) => {
      const finished = await prepared.run((_, piece) => {
        const line = said.line(piece);
        if (line !== null) send(line);
      });
      for (const line of said.lastLines(finished)) send(line);
    },
    OLLAMA_STREAM,
  );
}

/** A request that says nothing but that the model may go. */
function expectStaying({ keep_alive: keepAlive }: OllamaChatRequest | OllamaGenerateRequest): void {
  if (typeof keepAlive === "number" ? keepAlive !== 0 : !/^0[a-zµ]*$/.test(keepAlive ?? "5m")) return;
  throw refused("A request cannot unload a model here: the server does so by itself.", "keep_alive");
}

const NO_TOOLS = { tools: [], toolChoice: "none", parallelToolCalls: true } as const;

interface OllamaConversation extends Pick<ChatAsk, "messages" | "messagesParam"> {
  /** Only chats have them. */
  readonly tools: Pick<ChatAsk, "tools" | "toolChoice" | "allowedTools" | "parallelToolCalls">;
  readonly body: OllamaChatRequest | OllamaGenerateRequest;
}

function prepareOllamaChat(
  service: Service,
  model: ModelService,
  exchange: Exchange,
  { body, messages, messagesParam, tools }: OllamaConversation,
): Promise<PreparedChat> {
  return prepareChat(service, model, exchange, {
    ...{ messages, messagesParam },
    variables: ollamaVariables(model, body),
    variablesParam: "think",
    addGenerationPrompt: true,
    continueLast: messages.at(-1)?.role === "assistant",
    ...tools,
    options: ollamaGenerateOptions(model, exchange, body),
    structure: ollamaStructure(body),
    mostTokens: body.options?.num_ctx ?? null,
  });
}

/**
 * Whether a prompt is taken as it is: where that is asked for, where a middle is, and by a model that has no chat template.
 * @throws ApiError 400 for what needs a template
 */
function isPlain({ texts, served }: ModelService, body: OllamaGenerateRequest): boolean {
  const { raw, system, think, suffix } = body;
  const hasTemplate = texts !== null && texts.noTemplate === null;
  if (raw === true && suffix) throw refused("suffix cannot be had where the prompt is raw.", "suffix");
  if (raw !== true && !suffix && hasTemplate) return false;
  const why =
    raw === true ? "the prompt is raw" : suffix ? "there is a suffix" : `${served.id} has no chat template`;
  if (system) throw refused(`system cannot be had where ${why}.`, "system");
  if (think != null && think !== false) throw refused(`think cannot be had where ${why}.`, "think");
  return true;
}

/** As `prepareChat`, of a prompt that is continued as it is. */
async function prepareText(
  service: Service,
  model: ModelService,
  exchange: Exchange,
  body: OllamaGenerateRequest,
): Promise<PreparedChat> {
  const { prompt, raw, options } = body;
  const structure = ollamaStructure(body);
  const suffix = body.suffix || null;
  const asked: GenerateOptions = {
    ...ollamaGenerateOptions(model, exchange, body),
    ...structure?.options,
    ...(suffix !== null && { stopTokenIds: infillEnds(model) }),
  };
  await takeTurn(exchange, 1);
  const ask = { parseSpecial: raw === true, suffix };
  const [tokens] = await promptTokens(model, [prompt ?? ""], exchange, ask);
  const job = {
    prompts: [tokens],
    options: withinTokens(asked, tokens.length, options?.num_ctx ?? null, "prompt"),
    structureParam: structure?.param ?? null,
  };
  reserveAnswer(service, model, exchange, job);
  return { promptTokens: tokens.length, run: (onPiece) => generateAll(model, exchange, job, onPiece) };
}

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}
