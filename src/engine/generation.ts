/**
 * Tokens one after the other: infer, choose, emit, until something ends it. The loop is the same for both modes; only
 * the run that it asks for logits differs.
 *
 * With L prompt tokens and I inferences, I·L + I (I − 1) / 2 rows go through the model by recomputing and L + I − 1
 * from the cache. An end token costs one inference more than there are tokens; any other end costs none.
 */
import { LastrowError } from "../errors.js";
import type { SampledToken, Sampler, TokenLogprob } from "../sampling/sampler.js";
import { StopStrings } from "../tokenizer/stop-strings.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";
import { type Engine, InferenceRun, type Mode } from "./inference-run.js";
import type { TurnTaker } from "./turn-taker.js";

/**
 * Why a generation ended: `stop` by the end token or a stop string, `length` by `maxTokens` or the end of the context,
 * `abort` by its signal or because its reader left.
 */
export type FinishReason = "stop" | "length" | "abort";

/** Log-probabilities of one generated token, from the model's own logits, before any option of sampling. */
export interface GeneratedLogprobs {
  readonly token: number;
  /** Natural logarithm. */
  readonly logprob: number;
  /** The likeliest tokens, in descending order; as many as asked for. */
  readonly top: readonly TokenLogprob[];
}

/** What one step adds. */
export interface GenerationPiece {
  /** Text that is final: whole characters, and no beginning of a stop string. May be empty. */
  readonly text: string;
  /** Ids of the tokens generated since the last piece: one, or none in a last piece of held-back text. */
  readonly tokens: readonly number[];
  /** One entry for each of `tokens`; only when asked for. */
  readonly logprobs?: readonly GeneratedLogprobs[];
}

export interface GenerationTimings {
  /** Milliseconds from the start of loading until the model could be used. */
  readonly loadMs: number;
  /** Milliseconds of the first inference and choice. */
  readonly prefillMs: number;
  /** Milliseconds of all later ones. */
  readonly decodeMs: number;
}

/** A finished generation. */
export interface GenerationResult {
  /** All pieces' text joined; empty for a model without a tokenizer. */
  readonly text: string;
  /** Generated ids, without an end token (unless `ignoreEos`). */
  readonly tokens: readonly number[];
  readonly logprobs?: readonly GeneratedLogprobs[];
  readonly finishReason: FinishReason;
  /** L: prompt tokens that were fed, a start token included. */
  readonly promptTokens: number;
  readonly seed: number;
  /** I: times that the logits of a next token were computed. */
  readonly inferences: number;
  /** Rows that went through the model, counted where they entered the forward pass. */
  readonly rowsComputed: number;
  readonly timings: GenerationTimings;
}

/** One inference, as seen from outside. */
interface ObservedStep {
  /** From 0. */
  readonly index: number;
  /** (V), valid during the call only. */
  readonly logits: Float32Array;
  /** Milliseconds in the model. */
  readonly ms: number;
}

/** A request with everything resolved. */
export interface GenerationRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly mode: Mode;
  readonly sampler: Sampler;
  readonly seed: number;
  readonly wantsLogprobs: boolean;
  readonly tokenizer: Tokenizer | null;
  readonly stop: readonly string[];
  /** Tokens that end the text; empty to ignore them. */
  readonly eosTokenIds: ReadonlySet<number>;
  readonly loadMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((step: ObservedStep) => void) | undefined;
}

/**
 * A generation under way: iterate over it for its pieces, await `result()` for the whole; both, in either order, too.
 * It starts when the first piece or the result is asked for. Leaving a loop over it early ends it with `abort`; an
 * iterator that is dropped without `return()` keeps its place in the KV cache. Each piece is delivered once.
 */
export class Generation implements AsyncIterable<GenerationPiece> {
  readonly #pieces: AsyncGenerator<GenerationPiece, void>;
  readonly #outcome: Promise<GenerationResult>;
  readonly #leave: () => void;
  /** Pieces that nobody has taken yet: `result()` drives the generation past them. */
  readonly #untaken: GenerationPiece[] = [];
  #advancing: Promise<void> = Promise.resolve();
  #ended = false;

  /** Made by `LanguageModel.generate`. */
  constructor(engine: Engine, request: GenerationRequest, turns: TurnTaker) {
    const { promise, resolve, reject } = deferred<GenerationResult>();
    // A failure also reaches the one who iterates; it is not unhandled when nobody asks for the result.
    promise.catch(() => undefined);
    this.#outcome = promise;
    this.#pieces = generate(engine, request, turns, { resolve, reject });
    // A generator that is left before its first piece never runs; the result must not wait for it.
    this.#leave = () => resolve(unstarted(request));
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationPiece, void> {
    return {
      next: async () => {
        while (this.#untaken.length === 0 && !this.#ended) await this.#advance();
        const value = this.#untaken.shift();
        return value === undefined ? { value: undefined, done: true } : { value, done: false };
      },
      return: async () => {
        this.#ended = true;
        this.#untaken.length = 0;
        await this.#pieces.return();
        this.#leave();
        return { value: undefined, done: true };
      },
    };
  }

  /**
   * The whole, once it has ended; drives the generation to its end.
   * @throws LastrowError what iterating would throw
   */
  async result(): Promise<GenerationResult> {
    while (!this.#ended) await this.#advance();
    return this.#outcome;
  }

  /** Brings one more piece, after those that were asked for before: whoever asks, the order stays. */
  #advance(): Promise<void> {
    const advance = async () => {
      const { value, done } = await this.#pieces.next();
      if (done === true) this.#ended = true;
      else this.#untaken.push(value);
    };
    const advanced = this.#advancing.then(advance);
    this.#advancing = advanced.catch(() => {
      this.#ended = true;
    });
    return advanced;
  }
}

function unstarted(request: GenerationRequest): GenerationResult {
  return {
    text: "",
    tokens: [],
    ...(request.wantsLogprobs && { logprobs: [] }),
    finishReason: "abort",
    promptTokens: request.prompt.length,
    seed: request.seed,
    inferences: 0,
    rowsComputed: 0,
    timings: { loadMs: request.loadMs, prefillMs: 0, decodeMs: 0 },
  };
}

interface Outcome {
  readonly resolve: (result: GenerationResult) => void;
  readonly reject: (reason: unknown) => void;
}

async function* generate(
  engine: Engine,
  request: GenerationRequest,
  turns: TurnTaker,
  outcome: Outcome,
): AsyncGenerator<GenerationPiece, void> {
  const { prompt, signal, sampler } = request;
  const limit = Math.min(request.maxTokens, engine.model.config.contextLength - prompt.length);
  const text = new EmittedText(request);
  const sequence = [...prompt];
  const generated: number[] = [];
  const logprobs: GeneratedLogprobs[] = [];
  let prefillMs = 0;
  let decodeMs = 0;
  // Stays when the reader leaves at a yield.
  let finishReason: FinishReason = "abort";
  const run = new InferenceRun(engine, request.mode);
  try {
    for (let index = 0; ; index++) {
      if (signal?.aborted) break;
      if (generated.length >= limit) {
        finishReason = "length";
        break;
      }
      const start = performance.now();
      const computedBefore = run.computeMs;
      const chosen = await run.infer(sequence, { turns, signal }, (logits) => {
        request.onStep?.({ index, logits, ms: run.computeMs - computedBefore });
        return sampler.sample(logits, { prompt, generated }, sequence.length);
      });
      if (chosen === null) break;
      const elapsed = performance.now() - start;
      if (index === 0) prefillMs = elapsed;
      else decodeMs += elapsed;

      if (request.eosTokenIds.has(chosen.token)) {
        finishReason = "stop";
        break;
      }
      sequence.push(chosen.token);
      generated.push(chosen.token);
      const added = text.push(chosen.token);
      yield {
        text: added,
        tokens: [chosen.token],
        ...(request.wantsLogprobs && { logprobs: collect(logprobs, chosen) }),
      };
      if (text.stopped) {
        finishReason = "stop";
        break;
      }
    }
    const rest = text.flush();
    if (rest !== "") yield { text: rest, tokens: [], ...(request.wantsLogprobs && { logprobs: [] }) };
  } catch (error) {
    outcome.reject(error);
    throw error;
  } finally {
    run.dispose();
    outcome.resolve({
      text: text.whole,
      tokens: generated,
      ...(request.wantsLogprobs && { logprobs }),
      finishReason,
      promptTokens: prompt.length,
      seed: request.seed,
      inferences: run.inferences,
      rowsComputed: run.rowsComputed,
      timings: { loadMs: request.loadMs, prefillMs, decodeMs },
    });
  }
}

function collect(logprobs: GeneratedLogprobs[], chosen: SampledToken): GeneratedLogprobs[] {
  if (chosen.logprob === undefined || chosen.topLogprobs === undefined) {
    throw new Error("log-probabilities were asked for and not computed");
  }
  const entry = { token: chosen.token, logprob: chosen.logprob, top: chosen.topLogprobs };
  logprobs.push(entry);
  return [entry];
}

/** Text as it becomes final: characters complete, stop strings held back and cut off. */
class EmittedText {
  readonly #stream: TextStream | null;
  readonly #stops: StopStrings | null;
  #whole = "";
  #stopped = false;

  constructor({ tokenizer, stop }: Pick<GenerationRequest, "tokenizer" | "stop">) {
    this.#stream = tokenizer?.stream() ?? null;
    this.#stops = stop.length > 0 ? new StopStrings(stop) : null;
  }

  /** A stop string has appeared. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get whole(): string {
    return this.#whole;
  }

  push(token: number): string {
    return this.#emit(this.#stream?.push(token) ?? "");
  }

  /** What was held back and turned out to be final. */
  flush(): string {
    if (this.#stopped) return "";
    const rest = this.#emit(this.#stream?.flush() ?? "");
    if (this.#stopped || this.#stops === null) return rest;
    const held = this.#stops.flush();
    this.#whole += held;
    return rest + held;
  }

  #emit(text: string): string {
    let final = text;
    if (this.#stops !== null) {
      const checked = this.#stops.push(text);
      final = checked.text;
      this.#stopped = checked.stopped !== null;
    }
    this.#whole += final;
    return final;
  }
}

function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** Rows through the model for L prompt tokens and I inferences: the formula that the counters are checked against. */
export function expectedRows(mode: Mode, promptTokens: number, inferences: number): number {
  if (inferences === 0) return 0;
  if (mode === "cached") return promptTokens + inferences - 1;
  return inferences * promptTokens + (inferences * (inferences - 1)) / 2;
}

/**
 * Checks a prompt against the model.
 * @throws LastrowError `token_out_of_range`, `context_length_exceeded`, `empty_prompt`
 */
export function checkPrompt(
  tokens: readonly number[],
  config: { readonly vocabSize: number; readonly contextLength: number },
): void {
  for (const [i, token] of tokens.entries()) {
    if (!Number.isInteger(token) || token < 0 || token >= config.vocabSize) {
      throw new LastrowError(
        "token_out_of_range",
        `Token ${i} of the prompt is ${token}; this model's ids are 0 to ${config.vocabSize - 1}.`,
      );
    }
  }
  if (tokens.length > config.contextLength) {
    throw new LastrowError(
      "context_length_exceeded",
      `The prompt has ${tokens.length} tokens; this model's context is ${config.contextLength}.`,
    );
  }
}
