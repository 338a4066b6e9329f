/**
 * A loaded model: the object that programs hold. Turns prompts and options into requests for the engine, and owns the
 * engine until it is disposed.
 */
import type { ChatMessage, FoundTemplate } from "../chat/chat-template.js";
import type { TemplateRunner } from "../chat/template-runner.js";
import type { ComparisonReport } from "../client/comparison.js";
import type { EngineClient } from "../client/engine-client.js";
import type { DroppedEvents } from "../client/event-subscription.js";
import { Generation } from "../client/generation.js";
import type { LogitsRow } from "../client/logits-reader.js";
import type { Sequence } from "../client/sequence.js";
import type { SequenceStorage } from "../client/sequence-storage.js";
import { StructuredGenerations } from "../client/structured-generation.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import type { GenerationDefaults } from "../formats/generation-config.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { Platform } from "../platform/platform.js";
import {
  type EngineEvent,
  type EngineEventType,
  type EngineStats,
  EVENT_TYPES,
} from "../protocol/engine-stats.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import type { GenerationRequest } from "../protocol/generation-request.js";
import type { TierConnection, TierStats } from "../protocol/kv-tier.js";
import type { SavedSource } from "../saved-sequence/saved-source.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { AnswerParts } from "./answer-parts.js";
import type { HoldingModel, RestoreOptions, SequenceOptions } from "./begin-sequence.js";
import type { ChatOptions } from "./chat-options.js";
import type { Conversation } from "./conversation.js";
import type { EmbedOptions, EmbedResult, ReadModel } from "./embed.js";
import {
  COMPARE_OPTIONS,
  COMPARISON_SEED,
  type CompareOptions,
  DEFAULT_COMPARED_TOKENS,
  DEFAULT_MAX_TOKENS,
  GENERATE_OPTIONS,
  type GenerateOptions,
  type InfillOptions,
  type Prompt,
  type PromptOptions,
  type ResolvedRequest,
  replyTokensIn,
  resolveRequest,
} from "./generate-options.js";
import type { ModelInfo } from "./model-info.js";
import type { PerplexityOptions, PerplexityResult } from "./perplexity.js";
import {
  checkedSuffix,
  idsOf,
  infillEnds,
  type PromptedModel,
  promptIds,
  withoutTokenizer,
} from "./prompt-ids.js";
import {
  type LogitsModel,
  type LogitsOptions,
  type LogitsResult,
  promptLogits,
  promptLogitsRows,
  promptPerplexity,
  type RowsOptions,
} from "./prompt-logits.js";
import type { RankOptions, RankResult } from "./rank.js";
import { type AnySchema, heldAnswer, type JsonSchema, type ValueOf } from "./structured-output.js";

const PROMPT_OPTIONS = optionNames<PromptOptions & InfillOptions>()("promptTokens", {
  parseSpecial: true,
  suffix: true,
});

/** Everything that `load` puts together. */
export interface LanguageModelParts {
  readonly engine: EngineClient;
  readonly tokenizer: Tokenizer | null;
  /** The model's own, or why it has none. */
  readonly chatTemplate: FoundTemplate;
  /** See `Platform.startLimitedThread`. */
  readonly startLimitedThread: Platform["startLimitedThread"];
  readonly defaults: GenerationDefaults;
  /** Start token for an empty prompt. */
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly info: ModelInfo;
  readonly loadMs: number;
  readonly storage: SequenceStorage;
  /** Its KV tier; null without one. */
  readonly tier: TierConnection | null;
}

/**
 * A loaded model: text in, text out, and all that is between. `load` makes one; any number of calls may run at once.
 * `dispose` it, or hold it with `await using`, to give its memory back.
 */
export class LanguageModel implements AsyncDisposable {
  #parts: LanguageModelParts | null;
  /** Made for the first conversation. */
  #templates: TemplateRunner | null = null;
  /** Made for the first answer that is held to a grammar. */
  #structured: StructuredGenerations | null = null;
  /** Stays readable after `dispose`. */
  readonly info: ModelInfo;
  /**
   * Resolves when the engine is lost, because its worker or a thread of its kernels has ended, with the error that every
   * call then fails with; `load` the model again. After `dispose` it never resolves.
   */
  readonly lost: Promise<Error>;

  /** Made by `load`. */
  constructor(parts: LanguageModelParts) {
    this.#parts = parts;
    this.info = parts.info;
    this.lost = parts.engine.lost;
  }

  /** See `EngineClient.underWay`. @internal */
  get underWay(): EngineClient["underWay"] {
    return this.#alive().engine.underWay;
  }

  /** The model's tokenizer, or null for a folder without one. */
  get tokenizer(): Tokenizer | null {
    return this.#alive().tokenizer;
  }

  /** The model's own template for chats, or why it has none. @internal */
  get chatTemplate(): FoundTemplate {
    return this.#alive().chatTemplate;
  }

  /** Most tokens of a generation whose options do not say: the model's `max_new_tokens`, or 256. */
  get defaultMaxTokens(): number {
    return this.#alive().defaults.maxNewTokens ?? DEFAULT_MAX_TOKENS;
  }

  /**
   * Most tokens of an answer in a chat whose options do not say: the model's `max_new_tokens`, or 4,096, of a short context half of
   * it, and 256 at least.
   */
  get defaultReplyTokens(): number {
    const { defaults, info } = this.#alive();
    return defaults.maxNewTokens ?? replyTokensIn(info.config.contextLength);
  }

  /**
   * The token ids that a prompt becomes: text goes through the tokenizer and its post-processor, an empty prompt
   * becomes the start token. With a `suffix` they ask for what stands between the two.
   * @throws LastrowError `tokenizer_missing`, `empty_prompt`, `token_out_of_range`, `context_length_exceeded`;
   *   `model_unsupported` for a suffix where the tokenizer has no tokens for it
   */
  promptTokens(prompt: Prompt, options: PromptOptions & InfillOptions = {}): number[] {
    const model = this.#prompted();
    checkOptions(options, PROMPT_OPTIONS);
    return promptIds(model, prompt, options);
  }

  /**
   * The tokens that end a middle, beside the model's end tokens.
   * @throws LastrowError `tokenizer_missing`; `model_unsupported` for a model that cannot be asked for a middle
   * @internal
   */
  infillEnds(): readonly number[] {
    return infillEnds(this.#prompted());
  }

  /**
   * Continues a prompt. Nothing runs before the first piece or the result is asked for; from then on it runs beside all
   * others, a row of each in every step. Any number may run at once.
   * @throws LastrowError at once: `invalid_argument` and what `promptTokens` throws; while running:
   *   `kv_memory_exhausted`, `numerical_error`, `disposed`
   */
  generate<Schema extends AnySchema = JsonSchema>(
    prompt: Prompt,
    options: GenerateOptions & { readonly schema?: Schema | undefined } = {},
  ): Generation<ValueOf<Schema>> {
    return this.answer(prompt, options, { thoughts: null, tools: null }) as Generation<ValueOf<Schema>>;
  }

  /**
   * Continues the prompt of a chat, as `generate` does, with thoughts and calls of tools apart from the text.
   * @throws LastrowError as `generate`; `invalid_argument` for what cannot be combined with tools
   * @internal
   */
  answer(prompt: Prompt, options: GenerateOptions, { thoughts, tools }: AnswerParts): Generation {
    const { engine } = this.#alive();
    checkOptions(options, GENERATE_OPTIONS);
    const { request, text, structure } = this.#request(prompt, options, DEFAULT_MAX_TOKENS);
    const called = tools?.({ request, structure }) ?? null;
    const spec = structure?.spec ?? called?.spec ?? null;
    const held = spec === null ? null : heldAnswer(spec, thoughts);
    const start = (asked: GenerationRequest, sink: GenerationSink) =>
      held === null ? engine.generate(asked, sink) : this.#structuredGenerations().start(held, asked, sink);
    return new Generation(start, request, { ...text, thoughts, calls: called?.calls ?? null });
  }

  /**
   * A conversation with a model that has a chat template (`chat_template.jinja`, or in `tokenizer_config.json`): what was
   * said is held in the KV cache, so that each answer computes only what is new. The text of a message never becomes a
   * special token. A template is a program: it has five seconds for a prompt and, in Node, 256 MiB in a thread of its own.
   * @param messages what was said before; usually nothing, or a system message
   * @throws LastrowError `chat_template_missing`, `tokenizer_missing`, `tokenizer_invalid` for a template that is not
   *   valid, `invalid_argument` for messages that it refuses or takes no notice of, `chat_template_failed`
   */
  async chat(messages: readonly ChatMessage[] = [], options: ChatOptions = {}): Promise<Conversation> {
    const { tokenizer, chatTemplate } = this.#alive();
    // Loaded lazily: only chats need the template engine.
    const [{ chatSettings }, { TemplateRunner }, { Conversation }] = await Promise.all([
      fetchedCode(import("./chat-options.js")),
      fetchedCode(import("../chat/template-runner.js")),
      fetchedCode(import("./conversation.js")),
    ]);
    const settings = chatSettings({ label: this.info.label, tokenizer, chatTemplate }, options);
    const { startLimitedThread } = this.#alive();
    this.#templates ??= new TemplateRunner(() => startLimitedThread("template"));
    const runner = this.#templates;
    return Conversation.begin(this, { ...settings, runner }, messages, options.sequence);
  }

  /**
   * Generates with the KV cache, again by recomputing everything at each step, and compares the logits of every step
   * bit by bit. Seeded: without a seed of yours the text is the same each time. Default 100 tokens.
   * @throws LastrowError as `generate`, all of it as a rejection
   */
  async compare(prompt: Prompt, options: CompareOptions = {}): Promise<ComparisonReport> {
    const { engine } = this.#alive();
    checkOptions(options, COMPARE_OPTIONS);
    const { request, text } = this.comparisonRequest(prompt, options);
    const { compareWays } = await fetchedCode(import("../client/comparison.js"));
    return compareWays({ engine, config: this.info.config }, request, text, options);
  }

  /** What `compare` runs, both ways. @internal */
  comparisonRequest(prompt: Prompt, options: CompareOptions): ResolvedRequest {
    const seeded = { ...options, seed: options.seed ?? COMPARISON_SEED, cachePrompt: false };
    return this.#request(prompt, seeded, DEFAULT_COMPARED_TOKENS);
  }

  /**
   * The logits after a prompt's last token, or after each of its tokens. For all rows of a long prompt, `logitsRows`
   * takes less memory.
   * @throws LastrowError as `promptTokens`; `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async logits(prompt: Prompt, options: RowsOptions = {}): Promise<LogitsResult> {
    return promptLogits(this.#read(), prompt, options);
  }

  /**
   * The logits after each token of a prompt, as they are computed; holds a few rows at a time.
   * @throws LastrowError as `logits`
   */
  async *logitsRows(prompt: Prompt, options: LogitsOptions = {}): AsyncGenerator<LogitsRow, void> {
    yield* promptLogitsRows(this.#read(), prompt, options);
  }

  /**
   * How well the model predicts a text of any length: strided windows, as Hugging Face computes a perplexity.
   * @throws LastrowError `invalid_argument` for a stride out of range or a text of fewer than two tokens;
   *   `tokenizer_missing`, `token_out_of_range`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async perplexity(text: Prompt, options: PerplexityOptions & PromptOptions = {}): Promise<PerplexityResult> {
    return promptPerplexity(this.#read(), (read) => idsOf(this.#prompted(), text, read), options);
  }

  /**
   * Vectors of texts, to compare what they mean: those of a model that was made for it, as its files say
   * (docs/embeddings.md). A text goes through the tokenizer and its post-processor, which adds the end token where the model
   * wants one; token ids are taken as they are. All texts are checked before anything runs; then they run beside all else.
   * The bits are the same whatever runs beside, and whatever was there already.
   * @param texts a text, or a list of texts and of lists of token ids
   * @throws LastrowError `invalid_argument`, `model_unsupported` for a model of which no vectors are made; as
   *   `promptTokens`; `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async embed(texts: string | readonly Prompt[], options: EmbedOptions = {}): Promise<EmbedResult> {
    const model = this.#read();
    const given = asGiven(texts);
    const { embedTexts } = await fetchedCode(import("./embed.js"));
    return embedTexts(model, given, options);
  }

  /**
   * How well documents answer a query, by a model of the kind of Qwen3-Reranker (docs/embeddings.md): each with a score
   * from 0 to 1, the best first.
   * @throws LastrowError `model_unsupported` for any other model; `invalid_argument`, `tokenizer_missing`,
   *   `context_length_exceeded`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async rank(query: string, documents: readonly string[], options: RankOptions = {}): Promise<RankResult> {
    const model = this.#read();
    const { tokenizer } = this;
    const given = asGiven(documents);
    const { rankDocuments } = await fetchedCode(import("./rank.js"));
    return rankDocuments(model, tokenizer, query, given, options);
  }

  /** As `rank`, of texts that are tokens already: see `rankTokens`. @internal */
  async rankIds(texts: readonly (readonly number[])[], options: RankOptions): Promise<RankResult> {
    const model = this.#read();
    const { rankerOf, rankTokens } = await fetchedCode(import("./rank.js"));
    return rankTokens(model, rankerOf(this.info, this.tokenizer), texts, options);
  }

  /**
   * A sequence to hold and edit by hand: its prompt is computed, and `logits` are those after its last token.
   * @throws LastrowError as `promptTokens`, all of it as a rejection; `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async sequence(prompt: Prompt, options: SequenceOptions = {}): Promise<Sequence> {
    const model = this.#holding();
    const given = asGiven(prompt);
    const { beginSequence } = await fetchedCode(import("./begin-sequence.js"));
    return beginSequence(model, given, options);
  }

  /**
   * A sequence from what `Sequence.save` has written. Its logits have the same bits as those of the sequence that was
   * saved. All but its last row is taken from the file, or from blocks that are there already; where others need the room,
   * the rest is computed. The file may be anything: nothing changes before all of it has been checked.
   *
   * Others find its blocks only when it was saved by this installation (`LoadOptions.installationKey`), from a sequence
   * with the same salt.
   * @param source a path (in Node), a `File` or a `Blob`, or bytes, which must not be changed before this is done
   * @throws LastrowError `saved_sequence_not_found`, `saved_sequence_invalid`, `saved_sequence_mismatch`,
   *   `invalid_argument`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async restore(source: SavedSource, options: RestoreOptions = {}): Promise<Sequence> {
    const model = this.#holding();
    const { restoreSequence } = await fetchedCode(import("./restore-sequence.js"));
    return restoreSequence(model, source, options);
  }

  /** Counters of the engine since the model was loaded, and what it holds now: asked of it between two steps. */
  async stats(): Promise<EngineStats> {
    return this.#alive().engine.stats();
  }

  /**
   * Counters of the KV tier since the model was loaded; null without one (`LoadOptions.tier`). What the engine asked of it is in
   * `stats().tier`. Waits neither for the engine nor for the store.
   */
  async tierStats(): Promise<TierStats | null> {
    return (await this.#alive().tier?.stats()) ?? null;
  }

  /**
   * What happens in the engine from now on: blocks of the KV cache that are allocated, written, found, shared, copied,
   * released and evicted; sequences that are preempted; steps. Events without a listener cost nothing; events wait for a slow
   * reader. Ends with the model.
   * @param types requested event types; default: all
   * @throws LastrowError `invalid_argument` for anything but a list of types, `disposed`
   */
  events(types?: readonly EngineEventType[]): AsyncIterableIterator<EngineEvent | DroppedEvents> {
    const { engine } = this.#alive();
    const unknown = Array.isArray(types) ? types.find((type) => !EVENT_TYPES.has(type)) : types;
    if (unknown !== undefined) {
      throw invalidArgument(`events takes a list of ${[...EVENT_TYPES].join(", ")}, not ${shown(unknown)}.`);
    }
    return engine.events(types ?? null);
  }

  /** Lets go of the model's memory. Calling it twice is fine; using the model afterwards is an error. */
  async dispose(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    await Promise.all([
      parts?.engine.dispose(this.info.label),
      parts?.tier?.close(),
      this.#templates?.dispose(),
      this.#structured?.dispose(),
    ]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #structuredGenerations(): StructuredGenerations {
    const { engine, tokenizer, eosTokenIds, startLimitedThread } = this.#alive();
    const { vocabSize } = this.info.config;
    if (tokenizer === null) throw withoutTokenizer(this.info.label);
    this.#structured ??= new StructuredGenerations(
      engine,
      async () => {
        const { GrammarCompiler } = await fetchedCode(import("../client/grammar-compiler.js"));
        return new GrammarCompiler(tokenizer, vocabSize, () => startLimitedThread("grammar"));
      },
      eosTokenIds,
    );
    return this.#structured;
  }

  /** What a prompt needs to know. */
  #prompted(): PromptedModel {
    const { tokenizer, bosTokenId } = this.#alive();
    return { label: this.info.label, config: this.info.config, tokenizer, bosTokenId };
  }

  /** What is needed to read logits, vectors and scores. */
  #read(): LogitsModel & ReadModel {
    const { engine } = this.#alive();
    const { info } = this;
    const ids = (prompt: Prompt, { parseSpecial }: PromptOptions) =>
      promptIds(this.#prompted(), prompt, { parseSpecial });
    return { engine, info, promptIds: ids };
  }

  #alive(): LanguageModelParts {
    if (this.#parts !== null) return this.#parts;
    throw new LastrowError("disposed", `${this.info.label} was used after dispose().`);
  }

  /** What is needed to begin a sequence. */
  #holding(): HoldingModel {
    const { engine, storage } = this.#alive();
    return { engine, prompted: this.#prompted(), storage };
  }

  #request(prompt: Prompt, options: GenerateOptions, defaultMaxTokens: number): ResolvedRequest {
    const { tokenizer, defaults, eosTokenIds, loadMs } = this.#alive();
    const { label, config } = this.info;
    const ends = checkedSuffix(options) === "" ? eosTokenIds : [...eosTokenIds, ...this.infillEnds()];
    return resolveRequest(
      promptIds(this.#prompted(), prompt, options),
      options,
      { label, vocabSize: config.vocabSize, tokenizer, defaults, eosTokenIds: ends, loadMs },
      defaultMaxTokens,
    );
  }
}

/** A copy of lists that their owner may change while a module is fetched; what is none is left for the checks to refuse. */
function asGiven<T>(texts: T): T {
  if (!Array.isArray(texts)) return texts;
  return texts.map((text: unknown) => (Array.isArray(text) ? [...text] : text)) as T;
}
