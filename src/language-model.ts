/**
 * A loaded model: the object that programs hold. Turns prompts and options into requests for the engine, and owns the
 * engine until it is disposed.
 */
import { type ComparisonObserver, type ComparisonReport, compareWays } from "./engine/comparison.js";
import { checkPrompt, Generation, type GenerationRequest } from "./engine/generation.js";
import { type Engine, InferenceRun, type Mode } from "./engine/inference-run.js";
import { TurnTaker } from "./engine/turn-taker.js";
import { LastrowError } from "./errors.js";
import type { GenerationDefaults } from "./formats/generation-config.js";
import type { KernelsName, PackedDtype } from "./kernels/kernels.js";
import type { ModelConfig } from "./model/config.js";
import { resolveSampling, type SamplingOptions } from "./sampling/options.js";
import { Sampler } from "./sampling/sampler.js";
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
  /** Ends the generation with `finishReason: "abort"`. */
  readonly signal?: AbortSignal | undefined;
}

/** `mode` is what a comparison compares. */
export interface CompareOptions extends Omit<GenerateOptions, "mode" | "logprobs">, ComparisonObserver {}

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

/** One row of logits. */
export interface LogitsRow {
  /** Absolute position of the token that the row follows. */
  readonly position: number;
  /** (vocabulary); your own copy. */
  readonly logits: Float32Array;
}

/** What a model is and what it takes. Sizes in bytes. */
export interface ModelInfo {
  readonly label: string;
  readonly config: ModelConfig;
  readonly kernels: KernelsName;
  /** Threads that share the kernels' work. */
  readonly threads: number;
  /** Number of weights; a tied `lm_head` counts once. */
  readonly parameters: number;
  /** Bytes of the weights in the kernels' memory. */
  readonly weightBytes: number;
  /** Type of the weights in memory; position embeddings, norms and biases are always f32. */
  readonly dtype: PackedDtype;
  readonly kv: {
    readonly blockSize: number;
    readonly blocks: number;
    readonly blockBytes: number;
    readonly bytesPerToken: number;
    /** Memory that is reserved for K and V. */
    readonly bytes: number;
  };
  /** All memory of the kernels: weights, K and V, working memory. */
  readonly memoryBytes: number;
  /** The checkpoint's tensors, in the order of their names. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
}

/** Most tokens of a generation when neither its options nor the model say. */
export const DEFAULT_MAX_TOKENS = 256;
/** Seed of a comparison when none is given, so that everyone sees the same text. */
const COMPARISON_SEED = 7;
/** Most tokens of a comparison, likewise. */
export const DEFAULT_COMPARED_TOKENS = 100;

/** Everything that `load` puts together. */
export interface LanguageModelParts {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer | null;
  readonly defaults: GenerationDefaults;
  /** Start token for an empty prompt. */
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly info: ModelInfo;
  readonly loadMs: number;
  readonly yieldToEventLoop: () => Promise<void>;
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
    const { tokenizer, bosTokenId, engine } = this.#alive();
    let tokens: readonly number[];
    if (typeof prompt !== "string") {
      if (!isListOfIds(prompt)) {
        throw invalid(`A prompt is a text or a list of token ids, not ${String(prompt)}.`);
      }
      tokens = [...prompt];
    } else if (tokenizer !== null)
      tokens = tokenizer.encode(prompt, { parseSpecial: options.parseSpecial ?? false });
    else if (prompt === "") tokens = [];
    else {
      throw new LastrowError(
        "tokenizer_missing",
        `${this.info.label} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); give token ids instead of text.`,
      );
    }
    if (tokens.length === 0) {
      if (bosTokenId === null) {
        throw new LastrowError(
          "empty_prompt",
          `The prompt is empty, and ${this.info.label} has no start token to begin with.`,
        );
      }
      tokens = [bosTokenId];
    }
    checkPrompt(tokens, engine.model.config);
    return [...tokens];
  }

  /**
   * Continues a prompt. Nothing runs before the first piece or the result is asked for.
   * @throws LastrowError at once: `invalid_argument` and what `promptTokens` throws; while running:
   *   `kv_memory_exhausted`, `numerical_error`, `disposed`
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const { engine, yieldToEventLoop } = this.#alive();
    const mode = options.mode ?? "cached";
    if (mode !== "cached" && mode !== "recompute") {
      throw new LastrowError("invalid_argument", `mode is "cached" or "recompute", not ${String(mode)}.`);
    }
    const request = { ...this.#request(prompt, options, DEFAULT_MAX_TOKENS), mode };
    return new Generation(engine, request, new TurnTaker(yieldToEventLoop));
  }

  /**
   * Generates with the KV cache, again by recomputing everything at each step, and compares the logits of every step
   * bit by bit. Seeded: without a seed of yours the text is the same each time. Default 100 tokens.
   * @throws LastrowError as `generate`, all of it as a rejection
   */
  async compare(prompt: Prompt, options: CompareOptions = {}): Promise<ComparisonReport> {
    const { engine, yieldToEventLoop } = this.#alive();
    const request = this.comparisonRequest(prompt, options);
    return compareWays(engine, request, new TurnTaker(yieldToEventLoop), options);
  }

  /** What `compare` runs, both ways. @internal */
  comparisonRequest(prompt: Prompt, options: CompareOptions): Omit<GenerationRequest, "mode" | "onStep"> {
    const seeded = { ...options, seed: options.seed ?? COMPARISON_SEED };
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
    const { engine, yieldToEventLoop } = this.#alive();
    if (options.rows !== undefined && options.rows !== "last" && options.rows !== "all") {
      throw invalid(`rows is "last" or "all", not ${String(options.rows)}.`);
    }
    const tokens = this.promptTokens(prompt, options);
    if (options.rows === "all") {
      const width = engine.model.config.vocabSize;
      const logits = new Float32Array(tokens.length * width);
      for await (const row of this.logitsRows(tokens, options)) logits.set(row.logits, row.position * width);
      return { tokens, rows: tokens.length, logits };
    }
    const run = new InferenceRun(engine, "cached");
    try {
      const feed = { turns: new TurnTaker(yieldToEventLoop), signal: options.signal };
      const logits = await run.infer(tokens, feed, (view) => view.slice());
      if (logits === null) throw new LastrowError("aborted", "The forward pass was cancelled.");
      return { tokens, rows: 1, logits };
    } finally {
      run.dispose();
    }
  }

  /**
   * The logits after each token of a prompt, as they are computed; holds a few rows at a time.
   * @throws LastrowError as `logits`
   */
  async *logitsRows(prompt: Prompt, options: LogitsOptions = {}): AsyncGenerator<LogitsRow, void> {
    const { engine, yieldToEventLoop } = this.#alive();
    const tokens = this.promptTokens(prompt, options);
    const run = new InferenceRun(engine, "cached");
    try {
      const turns = new TurnTaker(yieldToEventLoop);
      for await (const { firstPosition, logits, rows } of run.inferAll(tokens, {
        turns,
        signal: options.signal,
      })) {
        const width = logits.length / rows;
        for (let r = 0; r < rows; r++) {
          yield { position: firstPosition + r, logits: logits.subarray(r * width, (r + 1) * width) };
        }
      }
      if (options.signal?.aborted) throw new LastrowError("aborted", "The forward pass was cancelled.");
    } finally {
      run.dispose();
    }
  }

  /** Lets go of the model's memory. Calling it twice is fine; using the model afterwards is an error. */
  async dispose(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    await parts?.engine.kernels.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #alive(): LanguageModelParts {
    if (this.#parts !== null) return this.#parts;
    throw new LastrowError("disposed", `${this.info.label} was used after dispose().`);
  }

  #request(
    prompt: Prompt,
    options: GenerateOptions,
    defaultMaxTokens: number,
  ): Omit<GenerationRequest, "mode" | "onStep"> {
    const { tokenizer, defaults, eosTokenIds, engine, loadMs } = this.#alive();
    const { vocabSize } = engine.model.config;
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
    const sampling = resolveSampling(options, defaults, vocabSize);
    return {
      prompt: this.promptTokens(prompt, options),
      maxTokens,
      sampler: new Sampler(sampling, vocabSize),
      seed: sampling.seed,
      wantsLogprobs: sampling.logprobs !== null,
      tokenizer,
      stop,
      eosTokenIds: new Set(options.ignoreEos === true ? [] : eosTokenIds),
      loadMs,
      signal: options.signal,
    };
  }
}

/** An array or a typed array of numbers; which ids there are is checked against the model. */
function isListOfIds(prompt: unknown): prompt is Iterable<number> {
  return Array.isArray(prompt) || (ArrayBuffer.isView(prompt) && !(prompt instanceof DataView));
}

function invalid(message: string): LastrowError {
  return new LastrowError("invalid_argument", message);
}
