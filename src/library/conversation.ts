/**
 * A conversation with a model that has a chat template. Owns its messages, and a sequence that holds the keys and values
 * of what was said, so that the next answer computes only what is new. How messages become prompts: chat-prompts.ts.
 */
import { checkMessages, checkVariables } from "../chat/chat-messages.js";
import type { ChatMessage } from "../chat/chat-template.js";
import { isSystem } from "../chat/oldest-turns.js";
import type { Generation } from "../client/generation.js";
import type { Sequence } from "../client/sequence.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { INSPECT } from "../inspect.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { GenerationPiece, GenerationResult } from "../protocol/generation-request.js";
import { type CallFormat, type CallFormatName, callFormat, callFormatOf } from "../tools/call-format.js";
import { type AnswerParts, answerParts } from "./answer-parts.js";
import { ChatPrompts, type PromptSettings } from "./chat-prompts.js";
import {
  CallableTools,
  type ToolOptions,
  type ToolResult,
  type ToolRound,
  type ToolSchemas,
} from "./chat-tools.js";
import type { GenerateOptions } from "./generate-options.js";
import { PiecesAndResult } from "./reply.js";

/** How to answer: as `GenerateOptions`, one continuation at a time; with tools that the model may call. */
export type ReplyOptions<Schemas extends ToolSchemas = ToolSchemas> = Omit<
  GenerateOptions,
  "n" | "bestOf" | "numBeams" | "lengthPenalty" | "earlyStopping" | "parseSpecial" | "suffix"
> &
  ToolOptions<Schemas>;

const REPLY_OPTIONS = optionNames<ReplyOptions>()("reply", {
  ...{ temperature: true, topK: true, topP: true, minP: true, logitBias: true, seed: true },
  ...{ repetitionPenalty: true, frequencyPenalty: true, presencePenalty: true },
  ...{ maxTokens: true, stop: true, ignoreEos: true, stopTokenIds: true, signal: true },
  ...{ speculate: true, mode: true, logprobs: true, cachePrompt: true, salt: true, tenant: true },
  ...{ schema: true, regex: true, grammar: true },
  ...{ tools: true, toolChoice: true, parallelToolCalls: true, maxToolRounds: true },
});

/** What is new of a reply. */
export interface ReplyPiece extends GenerationPiece {
  /** What tools said that the answer before had called; each when it is there. */
  readonly toolResults?: readonly ToolResult[];
}

/** An answer, what tools did for it, and what it cost to tell the model of the past. The answer is the last one. */
export interface ReplyResult extends GenerationResult {
  /** The answers before it, which called tools, and what those said; mostly none. */
  readonly toolRounds: readonly ToolRound[];
  /**
   * Tokens of earlier messages that were computed before and had to be again: those behind the place where the prompt begins
   * to differ from what was there (thoughts that the template has left out, turns that were dropped), and those of the
   * block in which that place is. With tools the sum over all rounds.
   */
  readonly numRefedTokens: number;
  /** Messages that were dropped to make room, the oldest; 0 without `dropOldest`. */
  readonly numDroppedMessages: number;
}

/** An answer under way: iterate over it for its pieces, await `result()` for the whole. */
export interface Reply extends AsyncIterable<ReplyPiece> {
  /** The whole, when it is part of the conversation. @throws LastrowError what iterating would throw */
  result(): Promise<ReplyResult>;
}

/** How a conversation is held. */
export interface ConversationSettings extends PromptSettings {
  /** How the model writes calls of tools; absent: as the template asks for them. */
  readonly toolFormat: CallFormatName | undefined;
}

/** What a conversation needs of its model. */
export interface ConversationModel {
  readonly info: { readonly config: { readonly contextLength: number } };
  readonly defaultReplyTokens: number;
  answer(prompt: readonly number[], options: GenerateOptions, parts: AnswerParts): Generation;
  sequence(tokens: readonly number[], options: Pick<ReplyOptions, "salt" | "tenant">): Promise<Sequence>;
}

/** A conversation under way; `LanguageModel.chat` begins one. One answer at a time; several conversations may run at once. */
export class Conversation implements AsyncDisposable {
  readonly #model: ConversationModel;
  readonly #prompts: ChatPrompts;
  /** How the model writes calls; null: in no form that is known. */
  readonly #callFormat: CallFormat | null;
  /** Tokens with which the template ends an answer. */
  #turnEnds: readonly number[] = [];
  #messages: ChatMessage[] = [];
  #held: Sequence | null = null;
  /** Whether anything of it was computed before. */
  #hasAnswered = false;
  #isAnswering = false;
  #isDisposed = false;

  private constructor(model: ConversationModel, settings: ConversationSettings) {
    const { template, tokenizer, toolFormat } = settings;
    this.#model = model;
    this.#prompts = new ChatPrompts(settings, model.info.config.contextLength);
    this.#callFormat =
      toolFormat === undefined ? callFormatOf(template, tokenizer) : callFormat(toolFormat, tokenizer);
  }

  /** Made by `LanguageModel.chat`, which says what is thrown. @internal */
  static async begin(
    model: ConversationModel,
    settings: ConversationSettings,
    messages: readonly ChatMessage[],
    sequence: Sequence | undefined,
  ): Promise<Conversation> {
    checkVariables(settings.variables, "templateVariables");
    const conversation = new Conversation(model, settings);
    await conversation.setMessages(messages);
    conversation.#turnEnds = await conversation.#prompts.turnEnds();
    conversation.#held = sequence ?? null;
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
   * What holds the keys and values of what was said, so that they are found: null before the first answer, and where there
   * was no room. It belongs to the conversation: save it (`Sequence.save`), and change nothing of it.
   */
  get sequence(): Sequence | null {
    return this.#held;
  }

  /**
   * Puts other messages in the place of what was said so far. What the next prompt has in common with what was there is
   * found, as ever.
   * @throws LastrowError `invalid_argument` while an answer is under way, for messages that are none and for those that the
   *   template refuses or takes no notice of; `chat_template_failed`, `disposed`; then the conversation is as it was
   */
  async setMessages(messages: readonly ChatMessage[]): Promise<void> {
    this.#expectIdle();
    if (!Array.isArray(messages)) {
      const advice = typeof messages === "string" ? " Say a text with reply(text)." : "";
      throw invalidArgument(`messages is a list of messages, not ${shown(messages)}.${advice}`);
    }
    if (messages.length > 0) checkMessages(messages);
    // A template may write a system message only where a user has said something.
    const isAsked = messages.length === 0 || messages.at(-1)?.role === "user";
    const question: ChatMessage = { role: "user", content: "x" };
    await this.#prompts.check(isAsked ? messages : [...messages, question]);
    this.#expectIdle();
    this.#messages = messages.map(copyOf);
  }

  /**
   * Says something as the user, and lets the assistant answer. The answer ends at an end token of the model, or at the
   * special token with which the template ends the assistant's turn. Nothing runs before the first piece or the result is asked
   * for. Thoughts of a reasoning model come first and apart, as `reasoning`; texts of `stop` count for nothing in them. The
   * next prompt has of them what the template puts there, usually nothing.
   *
   * With `tools`, functions that the answer calls are run, and the model goes on with what they say. Aborted meanwhile, the
   * reply waits for none of them: its calls are part of the conversation, and that they were cancelled.
   *
   * What was said and the answer become part of the conversation when the answer has ended, also one that was cut short; when
   * it fails, the conversation is as it was.
   * @throws LastrowError at once: `invalid_argument` while another answer is under way, `disposed`; while running:
   *   `invalid_argument` for messages that the template refuses or takes no notice of, `chat_template_failed`,
   *   `context_length_exceeded` when the conversation has become too long, and what `LanguageModel.generate` throws
   */
  reply<Schemas extends ToolSchemas = ToolSchemas>(
    content: ChatMessage["content"],
    options: ReplyOptions<Schemas> = {},
  ): Reply {
    this.#expectIdle();
    checkOptions(options, REPLY_OPTIONS);
    const { tools, toolChoice, parallelToolCalls, maxToolRounds, ...generate } = options;
    const callable = new CallableTools(
      { tools, toolChoice, parallelToolCalls, maxToolRounds },
      this.#callFormat,
    );
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content }];
    checkMessages(messages);
    this.#isAnswering = true;
    return new PiecesAndResult<ReplyPiece, ReplyResult>(async (onPiece, signal) => {
      try {
        return await this.#answer(messages, { ...generate, signal }, callable, onPiece);
      } catch (error) {
        throw callable.named(error);
      } finally {
        this.#isAnswering = false;
      }
    }, options.signal);
  }

  /** Answers, runs what the answer calls, and goes on with what that says, until an answer calls nothing. */
  async #answer(
    messages: readonly ChatMessage[],
    options: GenerateOptions & { readonly signal: AbortSignal },
    tools: CallableTools,
    onPiece: (piece: ReplyPiece) => void,
  ): Promise<ReplyResult> {
    const { stopTokenIds = [], maxTokens = this.#model.defaultReplyTokens, signal } = options;
    const ends = options.ignoreEos === true ? stopTokenIds : [...stopTokenIds, ...this.#turnEnds];
    const toolRounds: ToolRound[] = [];
    let [numRefedTokens, numDroppedMessages] = [0, 0];
    let asked = messages;
    /** Messages at the end that are new to the model. */
    let numNew = 1;
    for (;;) {
      const prompt = await this.#prompts.fit(asked, maxTokens, tools.definitions);
      numDroppedMessages += asked.length - prompt.messages.length;
      const parts = answerParts({ thoughts: prompt.thoughts, tools: tools.forRound(toolRounds.length) });
      const generation = this.#model.answer(
        prompt.tokens,
        { ...options, maxTokens, stopTokenIds: ends },
        parts,
      );
      const answer = await generation.each(onPiece);
      if (this.#hasAnswered || toolRounds.length > 0) {
        const numEarlier = this.#prompts.numEarlierTokens(prompt, numNew);
        numRefedTokens += Math.max(0, numEarlier - answer.numCachedTokens);
      }
      const { text, reasoning, toolCalls = [], finishReason } = answer;
      const calls = finishReason === "tool_calls" ? toolCalls : [];
      const said = copyOf({ role: "assistant", content: text, reasoning, toolCalls: calls });
      asked = [...prompt.messages, said];
      if (calls.length > 0) {
        const results = await Promise.all(
          calls.map(async (call) => {
            const result = await tools.run(call, signal);
            onPiece({ index: 0, text: "", tokens: [], toolResults: [result] });
            return result;
          }),
        );
        toolRounds.push({ answer, results });
        asked = [...asked, ...results.map(messageOf)];
        numNew = results.length;
        if (!signal.aborted) continue;
      }
      this.#messages = [...asked];
      this.#hasAnswered = true;
      // Ended before its first token, it has left no rows of its prompt that could be held without computing the rest.
      if (answer.inferences > 0 || answer.finishReason !== "abort") {
        await this.#hold([...prompt.tokens, ...answer.tokens], options);
      }
      const ended = calls.length > 0 ? { finishReason: "abort" as const } : {};
      return { ...answer, ...ended, toolRounds, numRefedTokens, numDroppedMessages };
    }
  }

  /**
   * Removes the oldest message, other than system messages, and what was answered to it, tools' results included; false when
   * there is none left.
   */
  forgetOldest(): boolean {
    const first = this.#messages.findIndex(({ role }) => !isSystem(role));
    if (first === -1) return false;
    let end = first + 1;
    while (this.#messages[end]?.role === "assistant" || this.#messages[end]?.role === "tool") end++;
    this.#messages = this.#messages.toSpliced(first, end - first);
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

  /** @throws LastrowError `disposed`, `invalid_argument` */
  #expectIdle(): void {
    if (this.#isDisposed) throw new LastrowError("disposed", "The conversation was used after dispose().");
    if (this.#isAnswering) {
      throw invalidArgument("The last answer of this conversation has not ended yet.");
    }
  }

  /** Holds the rows of what was said; they are in the prefix cache just now, so next to nothing is computed. */
  async #hold(tokens: readonly number[], { salt, tenant, cachePrompt }: GenerateOptions): Promise<void> {
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
function copyOf({
  role,
  content,
  reasoning = "",
  toolCalls = [],
  toolCallId,
  name,
}: ChatMessage): ChatMessage {
  return {
    ...{ role, content },
    ...(reasoning !== "" && { reasoning }),
    ...(toolCalls.length > 0 && {
      toolCalls: toolCalls.map((call) => ({ id: call.id, name: call.name, arguments: call.arguments })),
    }),
    ...(toolCallId !== undefined && { toolCallId }),
    ...(name !== undefined && { name }),
  };
}

/** What a tool said, as a message. */
function messageOf({ id, name, text }: ToolResult): ChatMessage {
  return { role: "tool", toolCallId: id, name, content: text };
}
