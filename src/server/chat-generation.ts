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
import { checkVariables, textOf } from "../chat/chat-messages.js";
import type { ChatMessage, TemplateVariables } from "../chat/chat-template.js";
import type { GenerateOptions } from "../library/generate-options.js";
import { ApiError } from "./api-error.js";
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
  /** What the answer is held to; null: to nothing. */
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
   * @param onPiece told of every piece of every choice as it comes: text, thoughts
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
  await takeTurn(exchange, Math.max(asked.n ?? 1, asked.numBeams ?? 1));
  const { tokens, turnEnds, thoughts } = await chatPrompt(model, exchange, ask);
  const { stopTokenIds = [] } = asked;
  const ends = asked.ignoreEos === true ? stopTokenIds : [...stopTokenIds, ...turnEnds];
  const bounded = withinTokens(asked, tokens.length, ask.mostTokens ?? null, ask.messagesParam);
  const options = { ...bounded, stopTokenIds: ends };
  const job = { prompts: [tokens], options, structureParam: structure?.param ?? null, thoughts };
  reserveAnswer(service, model, exchange, job);
  return {
    promptTokens: tokens.length,
    run: (onPiece) => generateAll(model, exchange, job, onPiece),
  };
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
  const { messages, messagesParam, variables, variablesParam, addGenerationPrompt, continueLast } = ask;
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
  expectFitting(model, messages.map(textOf).join(""), messagesParam);
  const options = { addGenerationPrompt, continueLast, variables };
  const prompt = await texts.encodeChat(messages, options, callerOf(exchange));
  const { tokens } = prompt;
  if (tokens.length === 0) {
    throw new ApiError(400, "empty_prompt", "The chat template renders these messages as an empty prompt.", {
      param: messagesParam,
    });
  }
  expectTokens(model, tokens.length, messagesParam);
  return prompt;
}
