/** A generation as its caller holds it: pieces to iterate over, and the whole to await. */
import type { GenerationSink } from "./generation-job.js";
import type { GenerationPiece, GenerationRequest, GenerationResult } from "./generation-request.js";

/** Starts a request; returns how to end it early. */
export type StartGeneration = (request: GenerationRequest, sink: GenerationSink) => () => void;

/**
 * A generation under way: iterate over it for its pieces, await `result()` for the whole; both, in either order, too.
 * It starts when the first piece or the result is asked for, and then runs to its end beside all others: pieces wait for
 * a slow reader. Leaving a loop over it early ends it with `abort`. Each piece is delivered once.
 */
export class Generation implements AsyncIterable<GenerationPiece> {
  readonly #start: StartGeneration;
  readonly #request: GenerationRequest;
  readonly #outcome = deferred<GenerationResult>();
  /** Pieces that nobody has taken yet. */
  readonly #pieces: GenerationPiece[] = [];
  readonly #readers: { resolve: () => void }[] = [];
  #cancel: (() => void) | null = null;
  #failure: { readonly error: unknown } | null = null;
  #hasStarted = false;
  #hasEnded = false;
  #isLeft = false;

  /** Made by `LanguageModel.generate`. */
  constructor(start: StartGeneration, request: GenerationRequest) {
    this.#start = start;
    this.#request = request;
    // A failure also reaches the one who iterates; it is not unhandled when nobody asks for the result.
    this.#outcome.promise.catch(() => undefined);
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationPiece, void> {
    return {
      next: async () => {
        this.#begin();
        while (this.#pieces.length === 0 && !this.#hasEnded) await this.#change();
        const value = this.#isLeft ? undefined : this.#pieces.shift();
        if (value !== undefined) return { value, done: false };
        if (this.#failure !== null && !this.#isLeft) throw this.#failure.error;
        return { value: undefined, done: true };
      },
      return: async () => {
        this.#leave();
        return { value: undefined, done: true };
      },
    };
  }

  /**
   * The whole, once it has ended.
   * @throws LastrowError what iterating would throw
   */
  async result(): Promise<GenerationResult> {
    this.#begin();
    return this.#outcome.promise;
  }

  #begin(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    try {
      this.#cancel = this.#start(this.#request, {
        piece: (piece) => {
          this.#pieces.push(piece);
          this.#tell();
        },
        end: (result) => {
          this.#hasEnded = true;
          this.#outcome.resolve(result);
          this.#tell();
        },
        fail: (error) => this.#fail(error),
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#hasEnded = true;
    this.#failure = { error };
    this.#outcome.reject(error);
    this.#tell();
  }

  #leave(): void {
    this.#isLeft = true;
    this.#pieces.length = 0;
    if (this.#hasStarted) this.#cancel?.();
    else {
      this.#hasStarted = true;
      this.#hasEnded = true;
      this.#outcome.resolve(unstarted(this.#request));
    }
    this.#tell();
  }

  /** Until something has changed. */
  #change(): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#readers.push({ resolve });
    return promise;
  }

  #tell(): void {
    for (const { resolve } of this.#readers.splice(0)) resolve();
  }
}

function unstarted(request: GenerationRequest): GenerationResult {
  const choice = {
    text: "",
    tokens: [],
    ...(request.sampling.logprobs !== null && { logprobs: [] }),
    finishReason: "abort" as const,
  };
  return {
    ...choice,
    choices: Array.from({ length: request.n }, () => choice),
    promptTokens: request.prompt.length,
    numCachedTokens: 0,
    seed: request.sampling.seed,
    inferences: 0,
    rowsComputed: 0,
    timings: { loadMs: request.loadMs, prefillMs: 0, decodeMs: 0 },
  };
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
