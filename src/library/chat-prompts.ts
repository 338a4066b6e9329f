/**
 * The prompts of a conversation: messages through the model's template to token ids, with room left for an answer. Knows what
 * the template makes of messages, and nothing of what has been said.
 */
import { RENDER_DEADLINE_MS } from "../chat/chat-renderer.js";
import type { ChatMessage, TemplateVariables } from "../chat/chat-template.js";
import type { Run } from "../chat/jinja/text.js";
import { droppableTurns, withoutTurns } from "../chat/oldest-turns.js";
import { PromptEncoder } from "../chat/prompt-encoder.js";
import type { TemplateRunner } from "../chat/template-runner.js";
import {
  type AnswerThoughts,
  answerThoughts,
  type ThoughtMarkers,
  thoughtMarkers,
} from "../chat/thoughts.js";
import { turnEnds } from "../chat/turn-end.js";
import { LastrowError } from "../errors.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { ToolDefinition } from "../tools/tool.js";

/** How messages become a prompt, and how long it may be. */
export interface PromptSettings {
  readonly template: string;
  readonly tokenizer: Tokenizer;
  readonly runner: TemplateRunner;
  /** More variables of the template. */
  readonly variables: TemplateVariables;
  readonly dropOldest: boolean;
  readonly keepSystem: boolean;
}

/** Messages as the model is asked them. */
export interface ChatPrompt {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolDefinition[];
  readonly runs: readonly Run[];
  readonly tokens: readonly number[];
  /** How the thoughts of its answer are told from the text; null: there are none. */
  readonly thoughts: AnswerThoughts | null;
}

/** Share of the context that is kept for an answer, if it may be that long. */
const ROOM_SHARE = 4;

export class ChatPrompts {
  readonly #settings: PromptSettings;
  readonly #contextLength: number;
  readonly #encoder: PromptEncoder;
  /** How the template marks thoughts; null: it knows none. */
  readonly #thoughts: ThoughtMarkers | null;

  constructor(settings: PromptSettings, contextLength: number) {
    const { template, tokenizer } = settings;
    this.#settings = settings;
    this.#contextLength = contextLength;
    this.#encoder = new PromptEncoder(tokenizer, contextLength);
    this.#thoughts = thoughtMarkers(template, tokenizer);
  }

  /** Tokens with which the template ends an answer. */
  turnEnds(): Promise<readonly number[]> {
    return turnEnds((messages) => this.#render(messages, false), this.#encoder);
  }

  /**
   * Whether the template takes messages, the last of which a user has said; without any, whether it is a template.
   * @throws LastrowError `invalid_argument`, `tokenizer_invalid`, `chat_template_failed`
   */
  async check(messages: readonly ChatMessage[]): Promise<void> {
    const { runner, template } = this.#settings;
    if (messages.length === 0) await runner.check(template, RENDER_DEADLINE_MS);
    else await this.#encode(messages, []);
  }

  /**
   * The prompt of a conversation, its oldest turns dropped where there is no room and that was asked for: as many as leave
   * half of the context, so that the turns after it find what this one computes.
   * @param maxTokens of the answer
   * @throws LastrowError `context_length_exceeded` when there is no room for an answer
   */
  async fit(
    messages: readonly ChatMessage[],
    maxTokens: number,
    tools: readonly ToolDefinition[],
  ): Promise<ChatPrompt> {
    const contextLength = this.#contextLength;
    const { dropOldest, keepSystem } = this.#settings;
    const room = Math.min(maxTokens, Math.floor(contextLength / ROOM_SHARE));
    let prompt = await this.#encode(messages, tools);
    if (dropOldest && prompt.tokens.length > contextLength - room) {
      const turns = droppableTurns(messages, keepSystem);
      let [least, enough] = [Math.min(1, turns.length), turns.length];
      while (least < enough) {
        const count = Math.floor((least + enough) / 2);
        prompt = await this.#encode(withoutTurns(messages, turns, count), tools);
        if (prompt.tokens.length > contextLength / 2) least = count + 1;
        else enough = count;
      }
      prompt = await this.#encode(withoutTurns(messages, turns, enough), tools);
    }
    const { length } = prompt.tokens;
    if (length < contextLength || (length === contextLength && maxTokens === 0)) return prompt;
    throw new LastrowError(
      "context_length_exceeded",
      dropOldest
        ? `What was said last is too long: even without all that can be dropped, the prompt has ${length} tokens, and this model's context is ${contextLength}.`
        : `The conversation is too long for another answer: its prompt has ${length} tokens, and this model's context is ${contextLength}. Begin a new one, or let it drop its oldest turns (dropOldest).`,
    );
  }

  /** Tokens of a prompt up to the end of what was said before its last messages, so many of them. */
  numEarlierTokens({ messages, tools, runs }: ChatPrompt, numLast: number): number {
    const end = runs.findLastIndex(({ origin }) => origin > 0 && origin <= messages.length - numLast);
    return this.#encoder.encode(runs.slice(0, end + 1), messages, tools).length;
  }

  async #encode(messages: readonly ChatMessage[], tools: readonly ToolDefinition[]): Promise<ChatPrompt> {
    const runs = await this.#render(messages, true, tools);
    const tokens = this.#encoder.encode(runs, messages, tools);
    return { messages, tools, runs, tokens, thoughts: answerThoughts(this.#thoughts, runs) };
  }

  #render(
    messages: readonly ChatMessage[],
    addGenerationPrompt: boolean,
    tools: readonly ToolDefinition[] = [],
  ): Promise<readonly Run[]> {
    const { template, tokenizer, runner, variables } = this.#settings;
    return runner.render(template, messages, {
      addGenerationPrompt,
      tools,
      variables,
      namedTokens: tokenizer.namedTokens,
      deadlineMs: RENDER_DEADLINE_MS,
    });
  }
}
