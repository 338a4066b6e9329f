/**
 * A loaded model: the object that programs hold. Turns prompts and options into requests for the engine, and owns the
 * engine until it is disposed.
 */
import type { ChatMessage } from "./chat/chat-template.js";
import type { Conversation } from "./chat/conversation.js";
import { type ComparisonObserver, type ComparisonReport, compareWays } from "./engine/comparison.js";
import type { EngineClient } from "./engine/engine-client.js";
import type { EngineEvent, EngineStats } from "./engine/engine-core.js";
import type { DroppedEvents } from "./engine/event-stream.js";
import { Generation, type GenerationOptions } from "./engine/generation.js";
import {
  type BeamSettings,
  checkPrompt,
  checkTokenIds,
  type GenerationRequest,
  type Mode,
} from "./engine/generation-request.js";
import type { EngineInfo } from "./engine/load-engine.js";
import { type LogitsRow, readLogits } from "./engine/logits-reader.js";
import { Sequence, type SequenceModel } from "./engine/sequence.js";
import type { SequenceStorage } from "./engine/sequence-storage.js";
import { LastrowError } from "./errors.js";
import type { GenerationDefaults } from "./formats/generation-config.js";
import type { ModelConfig } from "./model/config.js";
import { computePerplexity, type PerplexityOptions, type PerplexityResult } from "./perplexity.js";
import { checkBeamSettings } from "./sampling/beam-search.js";
import { resolveSampling, type SamplingOptions } from "./sampling/options.js";
import { SavedSequence } from "./saved-sequence/read-sequence.js";
import { openSaved, type SavedSource } from "./saved-sequence/saved-source.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";

/** Text, or token ids. */
export type Prompt = string | readonly number[];

export interface PromptOptions {
  /** Whether special tokens written in the text count as such; they are plain text by default. */
  readonly parseSpecial?: boolean | undefined;
}

/**
 * How to generate. What is absent comes from the model's `generation_config.json`, then from `SamplingOptions`' own
 * defaults.
 */
export interface GenerateOptions extends SamplingOptions, PromptOptions {
  /** Most tokens to generate, from 0; default: the model's `max_new_tokens`, or 256. The context is a limit, too. */
  readonly maxTokens?: number | undefined;
  /** Texts that end the generation; they may span tokens, and are not part of the result. */
  readonly stop?: string | readonly string[] | undefined;
  /** Go on after an end token, as after any other. Default false. */
  readonly ignoreEos?: boolean | undefined;
  /** Keep K and V (`cached`, the default), or compute every row again at each step (`recompute`). Same bits. */
  readonly mode?: Mode | undefined;
  /**
   * Continuations of the prompt, 1 to 64, default 1; they share its K and V. Continuation `i` is what `seed + i` gives
   * alone. Pieces carry its `index`, the result has all of them as `choices`.
   */
  readonly n?: number | undefined;
  /**
   * Generate so many continuations, `n` to 64, and give the `n` whose tokens have the highest mean log-probability, best
   * first. Default `n`. With more than `n`, each comes as one piece at the end.
   */
  readonly bestOf?: number | undefined;
  /**
   * Search instead of sampling: keep the so many best beginnings in each step, 1 to 64, and give the `n` best
   * continuations of them, `n` up to `numBeams`, each with its `score`. What Hugging Face finds with `num_beams`, without
   * sampling: temperature, top-k, top-p and min-p count for nothing. All of it comes at the end. Cannot be combined with
   * `bestOf`, `speculate` or `logprobs`.
   */
  readonly numBeams?: number | undefined;
  /** Of a beam search: scores are sums of log-probabilities over length ^ this, -20 to 20, default 1. */
  readonly lengthPenalty?: number | undefined;
  /** Of a beam search: when to stop looking for better ones; see `BeamSearchOptions`. Default false. */
  readonly earlyStopping?: boolean | "never" | undefined;
  /**
   * Tokens that are proposed for a step, 0 to 15, default 0: what followed the last words when they appeared before is
   * computed along, and kept where it would have been chosen anyway. The text is the same; only where it repeats itself
   * it comes faster.
   */
  readonly speculate?: number | undefined;
  /**
   * Use what earlier prompts that begin alike have left in the KV cache, and leave this one's. Default true; the bits are
   * the same either way.
   */
  readonly cachePrompt?: boolean | undefined;
  /**
   * Share K and V only with requests that give the same salt: nobody else can learn from the time to the first token
   * what was asked before. Default: the empty salt.
   */
  readonly salt?: string | undefined;
  /** Ends the generation with `finishReason: "abort"`. */
  readonly signal?: AbortSignal | undefined;
}

/** `mode` is what a comparison compares. */
export interface CompareOptions
  extends Omit<GenerateOptions, "mode" | "logprobs" | "cachePrompt" | "salt" | MultipleContinuations>,
    ComparisonObserver {}

type MultipleContinuations = "n" | "bestOf" | "numBeams" | "lengthPenalty" | "earlyStopping" | "speculate";

export interface SequenceOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly salt?: string | undefined;
}

export interface ChatOptions {
  /** A Jinja template in place of the model's own. */
  readonly template?: string | undefined;
}

export interface RestoreOptions extends SequenceOptions {
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface LogitsOptions extends PromptOptions {
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export interface LogitsResult {
  /** The ids that were fed, a start token included. */
  readonly tokens: readonly number[];
  /** Rows of `logits`: 1, or one for each token. */
  readonly rows: number;
  /** (rows, vocabulary), row-major; your own copy. */
  readonly logits: Float32Array;
}

/** What a model is and what it takes. Sizes in bytes. */
export interface ModelInfo extends EngineInfo {
  readonly label: string;
  readonly config: ModelConfig;
  /** Number of weights; a tied `lm_head` counts once. */
  readonly parameters: number;
  /** The checkpoint's tensors, in the order of their names. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  /** Whether the engine runs in a thread of its own. */
  readonly worker: boolean;
}

/** Most tokens of a generation when neither its options nor the model say. */
export const DEFAULT_MAX_TOKENS = 256;
/** Most continuations of one prompt. */
const MAX_CONTINUATIONS = 64;

/** Most tokens that prompt look-up proposes for a step. */
const MAX_SPECULATED = 15;

/** Seed of a comparison when none is given, so that everyone sees the same text. */
const COMPARISON_SEED = 7;
/** Most tokens of a comparison, likewise. */
export const DEFAULT_COMPARED_TOKENS = 100;

/** What a caller asks for: the engine's part of it, and what is made of the tokens. */
interface ResolvedRequest {
  readonly request: GenerationRequest;
  readonly text: GenerationOptions;
}

/** Everything that `load` puts together. */
export interface LanguageModelParts {
  readonly engine: EngineClient;
  readonly tokenizer: Tokenizer | null;
  /** The source of the model's own, or null. */
  readonly chatTemplate: string | null;
  readonly defaults: GenerationDefaults;
  /** Start token for an empty prompt. */
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly info: ModelInfo;
  readonly loadMs: number;
  readonly storage: SequenceStorage;
}

export class LanguageModel implements AsyncDisposable {
  #parts: LanguageModelParts | null;
  /** Stays readable after `dispose`. */
  readonly info: ModelInfo;

  /** Made by `load`. */
  constructor(parts: LanguageModelParts) {
    this.#parts = parts;
    this.info = parts.info;
  }

  /** The model's tokenizer, or null for a folder without one. */
  get tokenizer(): Tokenizer | null {
    return this.#alive().tokenizer;
  }

  /**
   * The token ids that a prompt becomes: text goes through the tokenizer and its post-processor, an empty prompt
   * becomes the start token.
   * @throws LastrowError `tokenizer_missing`, `empty_prompt`, `token_out_of_range`, `context_length_exceeded`
   */
  promptTokens(prompt: Prompt, options: PromptOptions = {}): number[] {
    const { tokenizer, bosTokenId } = this.#alive();
    let tokens: readonly number[];
    if (typeof prompt !== "string") {
      if (!isListOfIds(prompt)) {
        throw invalid(`A prompt is a text or a list of token ids, not ${String(prompt)}.`);
      }
      tokens = [...prompt];
    } else if (tokenizer !== null)
      tokens = tokenizer.encode(prompt, { parseSpecial: options.parseSpecial ?? false });
    else if (prompt === "") tokens = [];
    else throw this.#withoutTokenizer();
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
    return [...tokens];
  }

  /**
   * Continues a prompt. Nothing runs before the first piece or the result is asked for; from then on it runs beside all
   * others, a row of each in every step. Any number may run at once.
   * @throws LastrowError at once: `invalid_argument` and what `promptTokens` throws; while running:
   *   `kv_memory_exhausted`, `numerical_error`, `disposed`
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const { engine } = this.#alive();
    const { request, text } = this.#request(prompt, options, DEFAULT_MAX_TOKENS);
    return new Generation((asked, sink) => engine.generate(asked, sink), request, text);
  }

  /**
   * A conversation with a model that has a chat template (`chat_template.jinja`, or in `tokenizer_config.json`): what was
   * said is held in the KV cache, so that each answer computes only what is new. The text of a message never becomes a
   * special token. A template is a program: one that is not trusted may loop.
   * @param messages what was said before; usually nothing, or a system message
   * @throws LastrowError `chat_template_missing`, `tokenizer_missing`, `tokenizer_invalid` for a template that is not
   *   valid, `invalid_argument` for messages that it refuses
   */
  async chat(messages: readonly ChatMessage[] = [], options: ChatOptions = {}): Promise<Conversation> {
    const { tokenizer, chatTemplate } = this.#alive();
    if (tokenizer === null) throw this.#withoutTokenizer();
    const source = options.template ?? chatTemplate;
    if (source === null) {
      throw new LastrowError(
        "chat_template_missing",
        `${this.info.label} has no chat template; give one of your own (template), or use generate.`,
      );
    }
    // Only who chats pays for the template engine.
    const [{ ChatTemplate }, { Conversation }] = await Promise.all([
      import("./chat/chat-template-engine.js"),
      import("./chat/conversation.js"),
    ]);
    return new Conversation(this, new ChatTemplate(source, tokenizer), messages);
  }

  /**
   * Generates with the KV cache, again by recomputing everything at each step, and compares the logits of every step
   * bit by bit. Seeded: without a seed of yours the text is the same each time. Default 100 tokens.
   * @throws LastrowError as `generate`, all of it as a rejection
   */
  async compare(prompt: Prompt, options: CompareOptions = {}): Promise<ComparisonReport> {
    const { engine } = this.#alive();
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
    if (options.rows !== undefined && options.rows !== "last" && options.rows !== "all") {
      throw invalid(`rows is "last" or "all", not ${String(options.rows)}.`);
    }
    const tokens = this.promptTokens(prompt, options);
    const width = this.info.config.vocabSize;
    const logitsFrom = options.rows === "all" ? 0 : tokens.length - 1;
    const logits = new Float32Array((tokens.length - logitsFrom) * width);
    const computed = await engine.computeLogits(
      tokens,
      { logitsFrom, salt: "", signal: options.signal },
      ({ firstPosition, count, row }) => {
        for (let i = 0; i < count; i++) logits.set(row(i), (firstPosition + i - logitsFrom) * width);
      },
    );
    if (computed === null) throw aborted();
    return { tokens, rows: tokens.length - logitsFrom, logits };
  }

  /**
   * The logits after each token of a prompt, as they are computed; holds a few rows at a time.
   * @throws LastrowError as `logits`
   */
  async *logitsRows(prompt: Prompt, options: LogitsOptions = {}): AsyncGenerator<LogitsRow, void> {
    const { engine } = this.#alive();
    const tokens = this.promptTokens(prompt, options);
    yield* readLogits(engine, tokens, this.info.config.vocabSize, options.signal);
    if (options.signal?.aborted) throw aborted();
  }

  /**
   * How well the model predicts a text of any length: strided windows, as Hugging Face computes a perplexity.
   * @throws LastrowError `invalid_argument` for a stride out of range or a text of fewer than two tokens;
   *   `tokenizer_missing`, `token_out_of_range`, `kv_memory_exhausted`, `numerical_error`, `aborted`
   */
  async perplexity(text: Prompt, options: PerplexityOptions & PromptOptions = {}): Promise<PerplexityResult> {
    const { engine, tokenizer } = this.#alive();
    const { signal } = options;
    const { contextLength, vocabSize } = this.info.config;
    if (typeof text === "string" && tokenizer === null) throw this.#withoutTokenizer();
    const parseSpecial = options.parseSpecial ?? false;
    const tokens = typeof text === "string" ? tokenizer!.encode(text, { parseSpecial }) : text;
    checkTokenIds(tokens, vocabSize);
    return computePerplexity(tokens, { ...options, contextLength }, async (window, logitsFrom, use) => {
      const computed = await engine.computeLogits(
        window,
        { logitsFrom, salt: null, signal },
        ({ firstPosition, count, row }) => {
          for (let i = 0; i < count; i++) use(firstPosition + i, row(i));
        },
      );
      if (computed === null) throw aborted();
    });
  }

  /**
   * A sequence to hold and edit by hand: its prompt is computed, and `logits` are those after its last token.
   * @throws LastrowError as `promptTokens`, all of it as a rejection; `kv_memory_exhausted`, `numerical_error`
   */
  async sequence(prompt: Prompt, options: SequenceOptions = {}): Promise<Sequence> {
    const { engine } = this.#alive();
    const tokens = this.promptTokens(prompt, options);
    return Sequence.start(engine, tokens, checkSalt(options.salt), this.#sequenceModel(options));
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
    const salt = checkSalt(options.salt);
    const model = this.#sequenceModel(options);
    const { identity, kv } = model.storage;
    const { vocabSize, contextLength } = model.config;
    const file = await openSaved(source);
    try {
      const expected = { identity: await identity(), kv, vocabSize, contextLength };
      const saved = await SavedSequence.open(file, expected);
      return await Sequence.restore(engine, saved, { salt, signal: options.signal }, model);
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
   * released and evicted; sequences that are preempted; steps. Costs nothing while nobody listens; events wait for a slow
   * reader. Ends with the model.
   */
  events(): AsyncIterableIterator<EngineEvent | DroppedEvents> {
    return this.#alive().engine.events();
  }

  /** Lets go of the model's memory. Calling it twice is fine; using the model afterwards is an error. */
  async dispose(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    await parts?.engine.dispose(this.info.label);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #alive(): LanguageModelParts {
    if (this.#parts !== null) return this.#parts;
    throw new LastrowError("disposed", `${this.info.label} was used after dispose().`);
  }

  /** What a sequence needs to know. */
  #sequenceModel(options: PromptOptions): SequenceModel {
    const { tokenizer, storage } = this.#alive();
    const toIds = (tokens: Prompt) => {
      if (typeof tokens !== "string") return isListOfIds(tokens) ? [...tokens] : this.promptTokens(tokens);
      if (tokenizer === null) throw this.#withoutTokenizer();
      return tokenizer.encode(tokens, {
        addSpecialTokens: false,
        parseSpecial: options.parseSpecial ?? false,
      });
    };
    return { toIds, config: this.info.config, storage };
  }

  #withoutTokenizer(): LastrowError {
    return new LastrowError(
      "tokenizer_missing",
      `${this.info.label} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); give token ids instead of text.`,
    );
  }

  #request(prompt: Prompt, options: GenerateOptions, defaultMaxTokens: number): ResolvedRequest {
    const { tokenizer, defaults, eosTokenIds, loadMs } = this.#alive();
    const { vocabSize } = this.info.config;
    const maxTokens = options.maxTokens ?? defaults.maxNewTokens ?? defaultMaxTokens;
    if (!Number.isInteger(maxTokens) || maxTokens < 0) {
      throw invalid(`maxTokens is a whole number from 0, not ${String(maxTokens)}.`);
    }
    const stop = typeof options.stop === "string" ? [options.stop] : (options.stop ?? []);
    if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string" || text === "")) {
      throw invalid("stop is a text of at least one character, or a list of such texts.");
    }
    if (stop.length > 0 && tokenizer === null) {
      throw new LastrowError(
        "tokenizer_missing",
        `${this.info.label} has no tokenizer, so its output has no text in which a stop string could appear.`,
      );
    }
    const { mode = "cached" } = options;
    if (mode !== "cached" && mode !== "recompute") {
      throw invalid(`mode is "cached" or "recompute", not ${String(mode)}.`);
    }
    const n = wholeNumber("n", options.n, 1, { from: 1, to: MAX_CONTINUATIONS });
    const cachePrompt = options.cachePrompt ?? true;
    if (typeof cachePrompt !== "boolean")
      throw invalid(`cachePrompt is true or false, not ${String(cachePrompt)}.`);
    const salt = checkSalt(options.salt);
    const beams = resolveBeams(options, n);
    const request: GenerationRequest = {
      prompt: this.promptTokens(prompt, options),
      maxTokens,
      mode,
      sampling: resolveSampling(options, defaults, vocabSize),
      n,
      bestOf: wholeNumber("bestOf", options.bestOf, n, { from: n, to: MAX_CONTINUATIONS }),
      beams,
      endsByText: stop.length > 0 && beams === null,
      speculate: wholeNumber("speculate", options.speculate, 0, { from: 0, to: MAX_SPECULATED }),
      salt: cachePrompt && mode === "cached" ? salt : null,
      eosTokenIds: new Set(options.ignoreEos === true ? [] : eosTokenIds),
    };
    return { request, text: { tokenizer, stop, loadMs, signal: options.signal } };
  }
}

/** An array or a typed array of numbers; which ids there are is checked against the model. */
function isListOfIds(prompt: unknown): prompt is Iterable<number> {
  return Array.isArray(prompt) || (ArrayBuffer.isView(prompt) && !(prompt instanceof DataView));
}

function checkSalt(salt: unknown = ""): string {
  if (typeof salt === "string") return salt;
  throw invalid(`salt is a text, not ${String(salt)}.`);
}

/** Null without `numBeams`. The ranges of the other two are `BeamSearch`'s to check. */
function resolveBeams(options: GenerateOptions, n: number): BeamSettings | null {
  const { numBeams, lengthPenalty, earlyStopping, bestOf, speculate, logprobs } = options;
  if (numBeams === undefined) {
    if (lengthPenalty === undefined && earlyStopping === undefined) return null;
    throw invalid("lengthPenalty and earlyStopping belong to a beam search; give numBeams, too.");
  }
  const others = {
    bestOf,
    speculate: speculate || undefined,
    logprobs: logprobs === false ? undefined : logprobs,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw invalid(`${name} cannot be combined with numBeams.`);
  }
  const settings = {
    numBeams: wholeNumber("numBeams", numBeams, 1, { from: n, to: MAX_CONTINUATIONS }),
    lengthPenalty: lengthPenalty ?? 1,
    earlyStopping: earlyStopping ?? false,
  };
  checkBeamSettings(settings);
  return settings;
}

function wholeNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  { from, to }: { readonly from: number; readonly to: number },
): number {
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && value >= from && value <= to) return value;
  throw invalid(`${name} is a whole number from ${from} to ${to}, not ${String(value)}.`);
}

function aborted(): LastrowError {
  return new LastrowError("aborted", "The forward pass was cancelled.");
}

function invalid(message: string): LastrowError {
  return new LastrowError("invalid_argument", message);
}
