/**
 * A conversation with a model that has a chat template. Owns its messages, and a sequence that holds the keys and values
 * of what was said, so that the next answer computes only what is new.
 */

import { checkMessages, checkVariables } from "../chat/chat-messages.js";
import { RENDER_DEADLINE_MS } from "../chat/chat-renderer.js";
import type { ChatMessage, TemplateVariables } from "../chat/chat-template.js";
import type { Run } from "../chat/jinja/text.js";
import { PromptEncoder } from "../chat/prompt-encoder.js";
import type { TemplateRunner } from "../chat/template-runner.js";
import {
  type AnswerThoughts,
  answerThoughts,
  type ThoughtMarkers,
  thoughtMarkers,
} from "../chat/thoughts.js";
import { turnEnds } from "../chat/turn-end.js";
import type { Generation } from "../client/generation.js";
import type { Sequence } from "../client/sequence.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { INSPECT } from "../inspect.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { GenerationPiece, GenerationResult } from "../protocol/generation-request.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { GenerateOptions } from "./generate-options.js";

/** How to answer: as `GenerateOptions`, one continuation at a time. */
export type ReplyOptions = Omit<
  GenerateOptions,
  "n" | "bestOf" | "numBeams" | "lengthPenalty" | "earlyStopping" | "parseSpecial"
>;

const REPLY_OPTIONS = optionNames<ReplyOptions>()("reply", {
  ...{ temperature: true, topK: true, topP: true, minP: true, logitBias: true, seed: true },
  ...{ repetitionPenalty: true, frequencyPenalty: true, presencePenalty: true },
  ...{ maxTokens: true, stop: true, ignoreEos: true, stopTokenIds: true, signal: true },
  ...{ speculate: true, mode: true, logprobs: true, cachePrompt: true, salt: true, tenant: true },
});

/** An answer under way: iterate over it for its pieces, await `result()` for the whole. */
export interface Reply extends AsyncIterable<GenerationPiece> {
  /** The whole, when it is part of the conversation. @throws LastrowError what iterating would throw */
  result(): Promise<GenerationResult>;
}

/** How the messages of a conversation become a prompt. */
export interface ConversationTemplate {
  readonly source: string;
  readonly tokenizer: Tokenizer;
  readonly runner: TemplateRunner;
  /** More variables of the template. */
  readonly variables: TemplateVariables;
}

/** What a conversation needs of its model. */
export interface ConversationModel {
  readonly info: { readonly config: { readonly contextLength: number } };
  answer(prompt: readonly number[], options: GenerateOptions, thoughts: AnswerThoughts | null): Generation;
  sequence(tokens: readonly number[], options: Pick<ReplyOptions, "salt" | "tenant">): Promise<Sequence>;
}

/** A conversation under way; `LanguageModel.chat` begins one. One answer at a time; several conversations may run at once. */
export class Conversation implements AsyncDisposable {
  readonly #model: ConversationModel;
  readonly #template: ConversationTemplate;
  readonly #encoder: PromptEncoder;
  /** How the template marks thoughts; null: it knows none. */
  readonly #thoughts: ThoughtMarkers | null;
  #messages: ChatMessage[] = [];
  /** Tokens with which the template ends an answer. */
  #turnEnds: readonly number[] = [];
  #held: Sequence | null = null;
  #isAnswering = false;
  #isDisposed = false;

  private constructor(model: ConversationModel, template: ConversationTemplate) {
    this.#model = model;
    this.#template = template;
    this.#encoder = new PromptEncoder(template.tokenizer, model.info.config.contextLength);
    this.#thoughts = thoughtMarkers(template.source, template.tokenizer);
  }

  /** Made by `LanguageModel.chat`, which says what is thrown. @internal */
  static async begin(
    model: ConversationModel,
    template: ConversationTemplate,
    messages: readonly ChatMessage[],
  ): Promise<Conversation> {
    if (!Array.isArray(messages)) {
      const advice = typeof messages === "string" ? " Say a text with reply(text)." : "";
      throw invalidArgument(`messages is a list of messages, not ${shown(messages)}.${advice}`);
    }
    checkVariables(template.variables, "templateVariables");
    const conversation = new Conversation(model, template);
    if (messages.length === 0) await template.runner.check(template.source, RENDER_DEADLINE_MS);
    else {
      checkMessages(messages);
      conversation.#messages = messages.map(copyOf);
      // A template may write a system message only where a user has said something.
      const isAsked = conversation.#messages.at(-1)?.role === "user";
      const question: ChatMessage = { role: "user", content: "x" };
      await conversation.#encode(isAsked ? messages : [...messages, question]);
    }
    const render = (asked: readonly ChatMessage[]) => conversation.#render(asked, false);
    conversation.#turnEnds = await turnEnds(render, conversation.#encoder);
    return conversation;
  }

  /** What a console of Node's shows of it. */
  [INSPECT](): string {
    const state = this.#isDisposed ? "disposed, " : this.#isAnswering ? "answering, " : "";
    return `Conversation { ${state}messages: ${this.#messages.length} }`;
  }

  /** What was said so far; a copy. */
  get messages(): ChatMessage[] {
    return [...this.#messages];
  }

  /**
   * Says something as the user, and lets the assistant answer. The answer ends at an end token of the model, or at the
   * special token with which the template ends the assistant's turn. Nothing runs before the first piece or the result is asked
   * for. Thoughts of a reasoning model come first and apart, as `reasoning`; texts of `stop` count for nothing in them. The
   * next prompt has of them what the template puts there, usually nothing. What was said and the answer become part of the conversation when the answer has ended, also one that was cut
   * short; when it fails, the conversation is as it was.
   * @throws LastrowError at once: `invalid_argument` while another answer is under way, `disposed`; while running:
   *   `invalid_argument` for messages that the template refuses or takes no notice of, `chat_template_failed`,
   *   `context_length_exceeded` when the conversation has become too long, and what `LanguageModel.generate` throws
   */
  reply(content: ChatMessage["content"], options: ReplyOptions = {}): Reply {
    if (this.#isDisposed) throw new LastrowError("disposed", "The conversation was used after dispose().");
    if (this.#isAnswering) {
      throw invalidArgument("The last answer of this conversation has not ended yet.");
    }
    checkOptions(options, REPLY_OPTIONS);
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content }];
    checkMessages(messages);
    this.#isAnswering = true;
    const begin = async () => {
      const { prompt, thoughts } = await this.#encode(messages);
      const { stopTokenIds = [] } = options;
      const ends = options.ignoreEos === true ? stopTokenIds : [...stopTokenIds, ...this.#turnEnds];
      const generation = this.#model.answer(prompt, { ...options, stopTokenIds: ends }, thoughts);
      return { prompt, generation };
    };
    const finish = async (begun: ReturnType<typeof begin>) => {
      try {
        const { prompt, generation } = await begun;
        const answer = await generation.result();
        const { text, reasoning = "" } = answer;
        this.#messages = [...messages, copyOf({ role: "assistant", content: text, reasoning })];
        await this.#hold([...prompt, ...answer.tokens], options);
        return answer;
      } finally {
        this.#isAnswering = false;
      }
    };
    let begun: ReturnType<typeof begin> | null = null;
    let whole: Promise<GenerationResult> | null = null;
    const result = () => {
      begun ??= begin();
      whole ??= finish(begun);
      // The iterator is told, too.
      whole.catch(() => undefined);
      return whole;
    };
    return {
      result,
      async *[Symbol.asyncIterator]() {
        try {
          begun ??= begin();
          yield* (await begun).generation;
        } finally {
          await result();
        }
      },
    };
  }

  /** Removes the oldest message, other than system messages, and the answer to it; false when there is none left. */
  forgetOldest(): boolean {
    const first = this.#messages.findIndex(({ role }) => role !== "system" && role !== "developer");
    if (first === -1) return false;
    const isAnswered = this.#messages[first + 1]?.role === "assistant";
    this.#messages = this.#messages.toSpliced(first, isAnswered ? 2 : 1);
    return true;
  }

  /** Lets go of what is held. Calling it twice is fine. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const held = this.#held;
    this.#held = null;
    await held?.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #encode(messages: readonly ChatMessage[]) {
    const runs = await this.#render(messages, true);
    return {
      prompt: this.#encoder.encode(runs, messages),
      thoughts: answerThoughts(this.#thoughts, runs),
    };
  }

  #render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): Promise<readonly Run[]> {
    const { source, tokenizer, runner, variables } = this.#template;
    return runner.render(source, messages, {
      addGenerationPrompt,
      variables,
      namedTokens: tokenizer.namedTokens,
      deadlineMs: RENDER_DEADLINE_MS,
    });
  }

  /** Holds the rows of what was said; they are in the prefix cache just now, so next to nothing is computed. */
  async #hold(tokens: readonly number[], { salt, tenant, cachePrompt }: ReplyOptions): Promise<void> {
    if (this.#isDisposed || cachePrompt === false) return;
    const before = this.#held;
    const { contextLength } = this.#model.info.config;
    try {
      this.#held = await this.#model.sequence(tokens.slice(0, contextLength), { salt, tenant });
    } catch (error) {
      // It is only kept for speed: with no room for it the conversation goes on all the same.
      if (!(error instanceof LastrowError) || error.code !== "kv_memory_exhausted") throw error;
      this.#held = null;
    }
    await before?.dispose();
    // It may have been disposed of meanwhile.
    if (this.#isDisposed) await this.dispose();
  }
}

/** A message as it is kept: what else its object had is left out. */
function copyOf({ role, content, reasoning = "" }: ChatMessage): ChatMessage {
  return { role, content, ...(reasoning !== "" && { reasoning }) };
}
