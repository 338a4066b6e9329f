/**
 * What every route of chats does, whichever API it speaks: a conversation becomes a prompt when it is its turn, room for
 * its answer is reserved, and the answer is generated. A route turns its body into a `ChatAsk`, and what comes of it into
 * its own events or its own body:
 *
 *   const model = await service.model(body.model, exchange);
 *   const chat = await prepareChat(service, model, exchange, ask);
 *   const finished = await chat.run((choice, piece) => …);   // pieces as they come, in a stream
 *
 * Knows no field of any API: where an error has to name one, the ask says what it is called. What fails before `run` is an
 * ordinary error of a request; what fails in it, one of a stream, if that has begun.
 */
import { checkVariables, givenLength } from "../chat/chat-messages.js";
import type { ChatMessage, TemplateVariables } from "../chat/chat-template.js";
import { LastrowError } from "../errors.js";
import type { GenerateOptions } from "../library/generate-options.js";
import { quoteValue } from "../quote-value.js";
import type { AnswerTools } from "../tools/answer-tools.js";
import type { CallFormat } from "../tools/call-format.js";
import { checkTools, type ToolChoice, type ToolDefinition } from "../tools/tool.js";
import { ApiError, toApiError, toolPlace } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import { type Finished, generateAll, type OnPiece } from "./generation-service.js";
import type { ModelService } from "./model-service.js";
import type { AskedStructure } from "./schemas/structure.js";
import {
  callerOf,
  expectFitting,
  expectTokens,
  reserveAnswer,
  type Service,
  takeTurn,
  withinTokens,
} from "./service.js";
import type { ChatPrompt } from "./text-messages.js";

/** A conversation, and how it becomes a prompt. */
export interface ChatPromptAsk {
  /** At least one. */
  readonly messages: readonly ChatMessage[];
  /** What the request calls its messages, for errors: `messages`, `input`. */
  readonly messagesParam: string;
  /** What the model may call; they are in the prompt also where the choice is `none`. Not checked yet. */
  readonly tools: readonly ToolDefinition[];
  /** More variables of the template, not checked yet. */
  readonly variables: TemplateVariables;
  /** What the request calls them, for errors. */
  readonly variablesParam: string;
  /** Whether the prompt ends with the beginning of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
  /**
   * Whether the last message, which is the assistant's then, goes on: the prompt ends where its text does, and the answer is
   * what follows, without it. `addGenerationPrompt` counts for nothing then.
   */
  readonly continueLast: boolean;
}

/** A conversation to be answered. */
export interface ChatAsk extends ChatPromptAsk {
  /** How to generate, as `generateOptions` makes it of a request's fields; the tokens that end a turn are added here. */
  readonly options: GenerateOptions;
  readonly toolChoice: ToolChoice;
  /** Names of the tools that may be called, where not all of the prompt's may; they are not checked yet. */
  readonly allowedTools?: readonly string[] | undefined;
  /** Whether the answer may have several calls. */
  readonly parallelToolCalls: boolean;
  /** What the answer is held to; null: to nothing. Not with tools that may be called. */
  readonly structure: AskedStructure | null;
  /** Most tokens of the prompt and its answer together; default: as many as the context holds. */
  readonly mostTokens?: number | null;
}

/** A conversation that has had its turn, and for whose answer there is room. */
export interface PreparedChat {
  /** Tokens of the prompt: known before anything is generated. */
  readonly promptTokens: number;
  /**
   * Answers it; once.
   * @param onPiece told of every piece of every choice as it comes: text, thoughts (`reasoning`), what is new of calls
   *   (`toolCalls`: id and name with a call's first delta, then the text of its arguments as it is written)
   * @throws ApiError why the exchange was ended early; LastrowError as `LanguageModel.generate`
   */
  run(onPiece?: OnPiece): Promise<Finished>;
}

/**
 * Waits for the request's turn and makes the prompt of its conversation.
 * @throws ApiError as `chatPrompt`, `takeTurn` and `reserveAnswer`
 */
export async function prepareChat(
  service: Service,
  model: ModelService,
  exchange: Exchange,
  ask: ChatAsk,
): Promise<PreparedChat> {
  const { structure } = ask;
  const asked: GenerateOptions = { ...ask.options, ...structure?.options };
  checkAskedTools(ask.tools, ask.toolChoice, ask.allowedTools);
  await takeTurn(exchange, Math.max(asked.n ?? 1, asked.numBeams ?? 1));
  const { tokens, turnEnds, thoughts, callFormat } = await chatPrompt(model, exchange, ask);
  const { stopTokenIds = [] } = asked;
  const ends = asked.ignoreEos === true ? stopTokenIds : [...stopTokenIds, ...turnEnds];
  const bounded = withinTokens(asked, tokens.length, ask.mostTokens ?? null, ask.messagesParam);
  const options = { ...bounded, stopTokenIds: ends };
  const tools = answerTools(model, ask, callFormat);
  const job = { prompts: [tokens], options, structureParam: structure?.param ?? null, thoughts, tools };
  reserveAnswer(service, model, exchange, job);
  return {
    promptTokens: tokens.length,
    run: (onPiece) => generateAll(model, exchange, job, onPiece),
  };
}

/** @throws ApiError 400 that names the place */
function checkAskedTools(
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  allowed: readonly string[] = [],
): void {
  try {
    checkTools(tools, choice);
  } catch (error) {
    const { message } = toApiError(error);
    const param = toolPlace(message) ?? (message.startsWith("tools") ? "tools" : "tool_choice");
    throw new ApiError(400, "invalid_argument", message, { param, cause: error });
  }
  const names = new Set(tools.map(({ name }) => name));
  const unknown = allowed.find((name) => !names.has(name));
  if (unknown === undefined) return;
  throw new ApiError(
    400,
    "invalid_argument",
    `tool_choice allows ${quoteValue(unknown)}, which is not among the tools.`,
    { param: "tool_choice" },
  );
}

/** What the answer may call; null: nothing. @throws ApiError 400 for a model whose calls cannot be read */
function answerTools(
  { served }: ModelService,
  { tools, toolChoice: choice, allowedTools: callable, parallelToolCalls: parallel }: ChatAsk,
  format: CallFormat | null,
): AnswerTools | null {
  if (tools.length === 0) return null;
  if (format !== null) return { format, tools, choice, callable, parallel };
  if (choice === "none") return null;
  throw new ApiError(
    400,
    "tools_unsupported",
    `The chat template of ${served.id} asks for calls of tools in no form that is known here. Leave tools out, choose "none", or start the server with --tool-format, if its model writes one of the known forms.`,
    { param: "tools" },
  );
}

/**
 * The prompt of a conversation; what counts tokens needs no more than this.
 * @throws ApiError 400 for a model without a chat template, and for what is too long; LastrowError as
 *   `ChatTemplate.encode`
 */
export async function chatPrompt(
  model: ModelService,
  exchange: Exchange,
  ask: ChatPromptAsk,
): Promise<ChatPrompt> {
  const { texts, served } = model;
  const { messages, messagesParam, tools, variables, variablesParam } = ask;
  const { addGenerationPrompt, continueLast } = ask;
  exchange.asks([messages]);
  if (texts === null)
    throw new ApiError(400, "tokenizer_missing", `${served.id} has no tokenizer, which a chat needs.`);
  if (texts.noTemplate !== null) {
    throw new ApiError(
      400,
      "chat_template_missing",
      `${served.id} ${texts.noTemplate}. Start the server with --chat-template FILE (a Jinja template, as in tokenizer_config.json), or use /v1/completions.`,
    );
  }
  checkVariables(variables, variablesParam);
  checkAskedTools(tools, "none");
  expectFitting(
    model,
    messages.reduce((sum, message) => sum + givenLength(message), 0),
    messagesParam,
  );
  if (tools.length > 0) expectFitting(model, JSON.stringify(tools).length, "tools");
  const options = { addGenerationPrompt, continueLast, tools, variables };
  const prompt = await texts.encodeChat(messages, options, callerOf(exchange)).catch((error) => {
    throw ofConversation(error, messagesParam);
  });
  const { tokens } = prompt;
  if (tokens.length === 0) {
    throw new ApiError(400, "empty_prompt", "The chat template renders these messages as an empty prompt.", {
      param: messagesParam,
    });
  }
  expectTokens(model, tokens.length, messagesParam);
  return prompt;
}

/** What is wrong with messages is said of the field that has them, what is wrong with a tool of its place. */
function ofConversation(error: unknown, messagesParam: string): unknown {
  if (!(error instanceof LastrowError)) return error;
  const { code, message } = error;
  if (code === "context_length_exceeded")
    return new ApiError(400, code, message, { param: messagesParam, cause: error });
  if (code !== "invalid_argument") return error;
  const param = toolPlace(message) ?? messagesParam;
  return new ApiError(400, code, message, { param, cause: error });
}
