/**
 * A loaded model: the object that programs hold. Turns prompts and options into requests for the engine, and owns the
 * engine until it is disposed.
 */
import type { ChatMessage, FoundTemplate, TemplateVariables } from "../chat/chat-template.js";
import type { TemplateRunner } from "../chat/template-runner.js";
import { type ComparisonReport, compareWays } from "../client/comparison.js";
import type { EngineClient } from "../client/engine-client.js";
import type { DroppedEvents } from "../client/event-subscription.js";
import { Generation } from "../client/generation.js";
import { GrammarCompiler } from "../client/grammar-compiler.js";
import { type LogitsRow, readLogits } from "../client/logits-reader.js";
import { Sequence, type SequenceModel } from "../client/sequence.js";
import type { SequenceStorage } from "../client/sequence-storage.js";
import { StructuredGenerations } from "../client/structured-generation.js";
import { invalidArgument, LastrowError } from "../errors.js";
import type { EmbeddingSettings } from "../formats/embedding-settings.js";
import type { GenerationDefaults } from "../formats/generation-config.js";
import type { MetadataEntry } from "../formats/gguf/metadata-entries.js";
import type { ModelConfig } from "../model/config.js";
import { checkOptions, isListOfIds, oneOf, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { Platform } from "../platform/platform.js";
import type { EngineInfo } from "../protocol/engine-setup.js";
import {
  type EngineEvent,
  type EngineEventType,
  type EngineStats,
  EVENT_TYPES,
} from "../protocol/engine-stats.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import { checkPrompt, checkTokenIds, type GenerationRequest } from "../protocol/generation-request.js";
import { SavedSequence } from "../saved-sequence/read-sequence.js";
import { openSaved, type SavedSource } from "../saved-sequence/saved-source.js";
import type { EncodeOptions, Tokenizer } from "../tokenizer/tokenizer.js";
import { CALL_FORMATS, type CallFormatName } from "../tools/call-format.js";
import { type AnswerParts, calledTools, NO_PARTS } from "./answer-parts.js";
import type { Conversation } from "./conversation.js";
import { type EmbedOptions, type EmbedResult, embedTexts, type ReadModel } from "./embed.js";
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
  resolveRequest,
} from "./generate-options.js";
import { computePerplexity, type PerplexityOptions, type PerplexityResult } from "./perplexity.js";
import { type RankOptions, type RankResult, rankDocuments, rankerOf, rankTokens } from "./rank.js";
import { type AnySchema, type JsonSchema, thoughtTokens, type ValueOf } from "./structured-output.js";

/** How a sequence begins. */
export interface SequenceOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly salt?: string | undefined;
  /** See `GenerateOptions`. */
  readonly tenant?: string | undefined;
}

/** How a conversation is told to the model. */
export interface ChatOptions {
  /** A Jinja template in place of the model's own. */
  readonly template?: string | undefined;
  /**
   * More variables of the template, as its authors define them: `{ enable_thinking: false }` for Qwen 3, say. Plain data; what
   * looks like a special token in it is plain text.
   */
  readonly templateVariables?: TemplateVariables | undefined;
  /**
   * Drop the oldest turns when the context has no room for an answer: as many as leave half of it. Default false: then such
   * an answer fails with `context_length_exceeded`.
   */
  readonly dropOldest?: boolean | undefined;
  /** How the model writes calls of tools; docs/tools.md has the forms. Default: as its template asks for them. */
  readonly toolFormat?: CallFormatName | undefined;
  /** With `dropOldest`: never drop a system message. Default false: it is the oldest of all. */
  readonly keepSystem?: boolean | undefined;
  /**
   * What held the keys and values of these messages, as `Conversation.sequence` was saved and `restore` gives it: what of
   * it the next prompt begins with is found. It belongs to the conversation then.
   */
  readonly sequence?: Sequence | undefined;
}

/** How a saved sequence is taken up. */
export interface RestoreOptions extends SequenceOptions {
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Told how many tokens it has, before anything is reserved for them; what it throws is thrown. @internal */
  readonly expectRoom?: ((tokens: number) => void) | undefined;
}

/** How a prompt is read for its logits. */
export interface LogitsOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly tenant?: string | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const PROMPT_OPTIONS = optionNames<PromptOptions & InfillOptions>()("promptTokens", {
  parseSpecial: true,
  suffix: true,
});
const SEQUENCE_OPTIONS = optionNames<SequenceOptions>()("sequence", {
  parseSpecial: true,
  salt: true,
  tenant: true,
});
const CHAT_OPTIONS = optionNames<ChatOptions>()("chat", {
  ...{ template: true, templateVariables: true, toolFormat: true },
  ...{ dropOldest: true, keepSystem: true, sequence: true },
});
const RESTORE_OPTIONS = optionNames<RestoreOptions>()("restore", {
  ...{ parseSpecial: true, salt: true, tenant: true, signal: true, expectRoom: true },
});
const ROWS_OPTIONS = optionNames<LogitsOptions>()("logitsRows", {
  parseSpecial: true,
  tenant: true,
  signal: true,
});
const LOGITS_OPTIONS = optionNames<LogitsOptions & { rows: unknown }>()("logits", {
  ...{ parseSpecial: true, tenant: true, signal: true, rows: true },
});
const PERPLEXITY_OPTIONS = optionNames<PerplexityOptions & PromptOptions>()("perplexity", {
  ...{ parseSpecial: true, tenant: true, stride: true, onProgress: true, signal: true },
});

/** Logits after a prompt. */
export interface LogitsResult {
  /** The ids that were fed, a start token included. */
  readonly tokens: readonly number[];
  /** Tokens whose K and V were there already, computed for an earlier prompt that begins alike; 0 for all rows. */
  readonly numCachedTokens: number;
  /** Rows of `logits`: 1, or one for each token. */
  readonly rows: number;
  /** (rows, vocabulary), row-major; your own copy. */
  readonly logits: Float32Array;
}

/** What a model is and what it takes. Sizes in bytes. */
export interface ModelInfo extends EngineInfo {
  /** What messages and results call it: `stories`, a folder, a Hub name, an address. */
  readonly label: string;
  /** Its architecture, from config.json or the metadata of a GGUF file. */
  readonly config: ModelConfig;
  /** Number of weights; a tied `lm_head` counts once. */
  readonly parameters: number;
  /** The files that hold the weights. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** The checkpoint's tensors, in the order of their names, as they are stored: types, sizes of the dimensions, bytes. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  /** The metadata of a GGUF file, in its order; of other formats nothing. */
  readonly metadata: readonly MetadataEntry[];
  /** What its files say of vectors of texts: most say nothing. */
  readonly embedding: EmbeddingSettings;
  /** What people should know of how the files were read and the engine was made, each a sentence; mostly none. */
  readonly notices: readonly string[];
  /** Whether the engine runs in a thread of its own. */
  readonly worker: boolean;
}

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
   * The token ids that a prompt becomes: text goes through the tokenizer and its post-processor, an empty prompt
   * becomes the start token. With a `suffix` they ask for what stands between the two.
   * @throws LastrowError `tokenizer_missing`, `empty_prompt`, `token_out_of_range`, `context_length_exceeded`;
   *   `model_unsupported` for a suffix where the tokenizer has no tokens for it
   */
  promptTokens(prompt: Prompt, options: PromptOptions & InfillOptions = {}): number[] {
    this.#alive();
    checkOptions(options, PROMPT_OPTIONS);
    return this.#promptIds(prompt, options);
  }

  /** The ids that are fed for a prompt. */
  #promptIds(prompt: Prompt, options: PromptOptions & InfillOptions): number[] {
    const { bosTokenId } = this.#alive();
    const suffix = checkedSuffix(options);
    if (suffix !== "") return this.#infillIds(prompt, suffix, options);
    let tokens = prompt === "" && this.tokenizer === null ? [] : this.#idsOf(prompt, options);
    if (tokens.length === 0) {
      if (bosTokenId === null) {
        throw new LastrowError(
          "empty_prompt",
          `The prompt is empty, and ${this.info.label} has no start token to begin with.`,
        );
      }
      tokens = [bosTokenId];
    }
    checkPrompt(tokens, this.info.config);
    return tokens;
  }

  #infillIds(prompt: Prompt, suffix: string, { parseSpecial = false }: PromptOptions): number[] {
    if (typeof prompt !== "string") {
      throw invalidArgument(`suffix belongs to a prompt that is a text, not ${shown(prompt)}.`);
    }
    if (parseSpecial) throw invalidArgument("parseSpecial cannot be combined with suffix.");
    const { tokenizer } = this.#alive();
    this.infillEnds();
    const tokens = tokenizer!.encodeInfill(prompt, suffix);
    checkPrompt(tokens, this.info.config);
    return tokens;
  }

  /**
   * The tokens that end a middle, beside the model's end tokens.
   * @throws LastrowError `tokenizer_missing`; `model_unsupported` for a model that cannot be asked for a middle
   * @internal
   */
  infillEnds(): readonly number[] {
    const { tokenizer } = this.#alive();
    if (tokenizer === null) throw this.#withoutTokenizer();
    if (tokenizer.infillTokens !== null) return tokenizer.infillTokens.ends;
    throw new LastrowError(
      "model_unsupported",
      `${this.info.label} cannot fill in the middle of a text (suffix): its tokenizer ${tokenizer.missingInfill}.`,
    );
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
    return this.answer(prompt, options, NO_PARTS) as Generation<ValueOf<Schema>>;
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
    const called = tools === null ? null : calledTools(tools, { request, structure });
    const spec = structure?.spec ?? called?.spec ?? null;
    const held = spec === null ? null : { spec, thoughts: thoughtTokens(thoughts, spec) };
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
    checkOptions(options, CHAT_OPTIONS);
    if (tokenizer === null) throw this.#withoutTokenizer();
    const { templateVariables: variables = {}, dropOldest = false, keepSystem = false, sequence } = options;
    const { toolFormat } = options;
    if (toolFormat !== undefined) oneOf("toolFormat", toolFormat, CALL_FORMATS);
    if (keepSystem && !dropOldest) throw invalidArgument("keepSystem belongs to dropOldest; give it, too.");
    if (sequence !== undefined && !(sequence instanceof Sequence)) {
      throw invalidArgument(`sequence is a sequence that restore gave, not ${shown(sequence)}.`);
    }
    const found = options.template === undefined ? chatTemplate : { source: options.template };
    if (!("source" in found)) {
      throw new LastrowError(
        "chat_template_missing",
        `${this.info.label} ${found.missing}; give one of your own (template), or continue texts with generate.`,
      );
    }
    const { source: template } = found;
    // Loaded lazily: only chats need the template engine.
    const [{ TemplateRunner }, { Conversation }] = await Promise.all([
      import("../chat/template-runner.js"),
      import("./conversation.js"),
    ]);
    const { startLimitedThread } = this.#alive();
    this.#templates ??= new TemplateRunner(() => startLimitedThread("template"));
    const runner = this.#templates;
    const settings = { template, tokenizer, variables, toolFormat, dropOldest, keepSystem, runner };
    return Conversation.begin(this, settings, messages, sequence);
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
  async logits(
    prompt: Prompt,
    options: LogitsOptions & { readonly rows?: "last" | "all" | undefined } = {},
  ): Promise<LogitsResult> {
    const { engine } = this.#alive();
    checkOptions(options, LOGITS_OPTIONS);
    const rows = oneOf("rows", options.rows ?? "last", ["last", "all"]);
    const tokens = this.#promptIds(prompt, options);
    const width = this.info.config.vocabSize;
    const logitsFrom = rows === "all" ? 0 : tokens.length - 1;
    const logits = new Float32Array((tokens.length - logitsFrom) * width);
    const computed = await engine.computeLogits(
      tokens,
      { logitsFrom, salt: "", tenant: options.tenant, signal: options.signal },
      ({ firstPosition, count, row }) => {
        for (let i = 0; i < count; i++) logits.set(row(i), (firstPosition + i - logitsFrom) * width);
      },
    );
    if (computed === null) throw aborted();
    const { numCachedTokens } = computed;
    return { tokens, numCachedTokens, rows: tokens.length - logitsFrom, logits };
  }

  /**
   * The logits after each token of a prompt, as they are computed; holds a few rows at a time.
   * @throws LastrowError as `logits`
   */
  async *logitsRows(prompt: Prompt, options: LogitsOptions = {}): AsyncGenerator<LogitsRow, void> {
    const { engine } = this.#alive();
    checkOptions(options, ROWS_OPTIONS);
    const tokens = this.#promptIds(prompt, options);
    yield* readLogits(engine, tokens, this.info.config.vocabSize, options);
    if (options.signal?.aborted) throw aborted();
  }

  /**
   * How well the model predicts a text of any length: strided windows, as Hugging Face computes a perplexity.
   * @throws LastrowError `invalid_argument` for a stride out of range or a text of fewer than two tokens;
   *   `tokenizer_missing`, `token_out_of_range`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async perplexity(text: Prompt, options: PerplexityOptions & PromptOptions = {}): Promise<PerplexityResult> {
    const { engine } = this.#alive();
    checkOptions(options, PERPLEXITY_OPTIONS);
    const { signal, tenant } = options;
    const { contextLength, vocabSize } = this.info.config;
    const tokens = this.#idsOf(text, options);
    checkTokenIds(tokens, vocabSize);
    return computePerplexity(tokens, { ...options, contextLength }, async (window, logitsFrom, use) => {
      const computed = await engine.computeLogits(
        window,
        { logitsFrom, salt: null, tenant, signal },
        ({ firstPosition, count, row }) => {
          for (let i = 0; i < count; i++) use(firstPosition + i, row(i));
        },
      );
      if (computed === null) throw aborted();
    });
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
    return embedTexts(this.#readModel(), texts, options);
  }

  /**
   * How well documents answer a query, by a model of the kind of Qwen3-Reranker (docs/embeddings.md): each with a score
   * from 0 to 1, the best first.
   * @throws LastrowError `model_unsupported` for any other model; `invalid_argument`, `tokenizer_missing`,
   *   `context_length_exceeded`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async rank(query: string, documents: readonly string[], options: RankOptions = {}): Promise<RankResult> {
    return rankDocuments(this.#readModel(), this.tokenizer, query, documents, options);
  }

  /** As `rank`, of texts that are tokens already: see `rankTokens`. @internal */
  async rankIds(texts: readonly (readonly number[])[], options: RankOptions): Promise<RankResult> {
    return rankTokens(this.#readModel(), rankerOf(this.info, this.tokenizer), texts, options);
  }

  #readModel(): ReadModel {
    const { engine } = this.#alive();
    return {
      engine,
      info: this.info,
      idsOf: (text, { parseSpecial }) => this.#promptIds(text, { parseSpecial }),
    };
  }

  /**
   * A sequence to hold and edit by hand: its prompt is computed, and `logits` are those after its last token.
   * @throws LastrowError as `promptTokens`, all of it as a rejection; `kv_memory_exhausted`, `numerical_error`
   */
  async sequence(prompt: Prompt, options: SequenceOptions = {}): Promise<Sequence> {
    const { engine } = this.#alive();
    checkOptions(options, SEQUENCE_OPTIONS);
    const tokens = this.#promptIds(prompt, options);
    const { salt = "", tenant = "" } = options;
    return Sequence.start(engine, tokens, { salt, tenant }, this.#sequenceModel(options));
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
    const { engine } = this.#alive();
    checkOptions(options, RESTORE_OPTIONS);
    const { salt = "", tenant = "", signal } = options;
    const model = this.#sequenceModel(options);
    const { identity, kv, spareMemory } = model.storage;
    const { vocabSize, contextLength, maxContextLength } = model.config;
    const file = await openSaved(source);
    try {
      const expected = { identity: await identity(), kv, vocabSize, contextLength, maxContextLength };
      const saved = await SavedSequence.open(file, expected, spareMemory);
      options.expectRoom?.(saved.tokens.length);
      return await Sequence.restore(engine, saved, { salt, tenant, signal }, model);
    } finally {
      await file.close();
    }
  }

  /** Counters of the engine since the model was loaded, and what it holds now: asked of it between two steps. */
  async stats(): Promise<EngineStats> {
    return this.#alive().engine.stats();
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
      this.#templates?.dispose(),
      this.#structured?.dispose(),
    ]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #structuredGenerations(): StructuredGenerations {
    const { engine, tokenizer, eosTokenIds, startLimitedThread } = this.#alive();
    if (tokenizer === null) throw this.#withoutTokenizer();
    this.#structured ??= new StructuredGenerations(
      engine,
      new GrammarCompiler(tokenizer, this.info.config.vocabSize, () => startLimitedThread("grammar")),
      eosTokenIds,
    );
    return this.#structured;
  }

  #alive(): LanguageModelParts {
    if (this.#parts !== null) return this.#parts;
    throw new LastrowError("disposed", `${this.info.label} was used after dispose().`);
  }

  /** What a sequence needs to know. */
  #sequenceModel(options: PromptOptions): SequenceModel {
    const { storage } = this.#alive();
    const { parseSpecial } = options;
    const toIds = (tokens: Prompt) => this.#idsOf(tokens, { parseSpecial, addSpecialTokens: false });
    return { toIds, config: this.info.config, storage };
  }

  /** The ids of a text, or a copy of a list of ids, which is not checked. */
  #idsOf(prompt: Prompt, { parseSpecial = false, addSpecialTokens = true }: EncodeOptions): number[] {
    if (typeof prompt === "string") {
      const { tokenizer } = this.#alive();
      if (tokenizer === null) throw this.#withoutTokenizer();
      return tokenizer.encode(prompt, { parseSpecial, addSpecialTokens });
    }
    if (isListOfIds(prompt)) {
      const ids: unknown[] = [...prompt];
      const isOther = (id: unknown) => typeof id === "string" || Array.isArray(id) || isMessage(id);
      // Which ids there are is seen to where the model's are known.
      if (!ids.some(isOther)) return ids as number[];
    }
    throw invalidArgument(wrongPrompt(prompt));
  }

  #withoutTokenizer(): LastrowError {
    return new LastrowError(
      "tokenizer_missing",
      `${this.info.label} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); give token ids instead of text.`,
    );
  }

  #request(prompt: Prompt, options: GenerateOptions, defaultMaxTokens: number): ResolvedRequest {
    const { tokenizer, defaults, eosTokenIds, loadMs } = this.#alive();
    const { label, config } = this.info;
    const ends = checkedSuffix(options) === "" ? eosTokenIds : [...eosTokenIds, ...this.infillEnds()];
    return resolveRequest(
      this.#promptIds(prompt, options),
      options,
      { label, vocabSize: config.vocabSize, tokenizer, defaults, eosTokenIds: ends, loadMs },
      defaultMaxTokens,
    );
  }
}

/** @returns "" for none */
function checkedSuffix({ suffix = "" }: InfillOptions): string {
  if (typeof suffix === "string") return suffix;
  throw invalidArgument(`suffix is a text, not ${shown(suffix)}.`);
}

function isMessage(value: unknown): boolean {
  return typeof value === "object" && value !== null && "role" in value;
}

/** What was given in place of a prompt, and what takes it. */
function wrongPrompt(given: unknown): string {
  const what = `A prompt is a text or a list of token ids, not ${shown(given)}`;
  const first: unknown = Array.isArray(given) ? given[0] : given;
  const has = (name: string) => typeof first === "object" && first !== null && name in first;
  if (isMessage(first) || has("messages")) {
    return `${what}. Messages are for chats: chat(messages) begins one, and reply(text) of it answers.`;
  }
  if (has("prompt")) return `${what}. The prompt comes first, and its options after it.`;
  if (Array.isArray(given) && (typeof first === "string" || Array.isArray(first))) {
    return `${what}. Give one prompt a call; calls that are not awaited in between run at once.`;
  }
  return `${what}.`;
}

function aborted(): LastrowError {
  return new LastrowError("aborted", "The forward pass was cancelled.");
}
