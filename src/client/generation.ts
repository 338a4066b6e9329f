/** A generation as its caller holds it: pieces to iterate over, and the whole to await. */
import { onAbort } from "../abort-listeners.js";
import { INSPECT } from "../inspect.js";
import { type GenerationSink, unstartedOutcome } from "../protocol/generation-outcome.js";
import type { GenerationPiece, GenerationRequest, GenerationResult } from "../protocol/generation-request.js";
import type { GenerationHandle } from "./engine-client.js";
import type { TextOptions } from "./generation-text.js";
import { GenerationText } from "./generation-text.js";

/** Starts a request. */
type StartGeneration = (request: GenerationRequest, sink: GenerationSink) => GenerationHandle;

export interface GenerationOptions extends TextOptions {
  /** Reads the value of a text that ended by itself; null: it has none. */
  readonly readValue: ((text: string) => Promise<unknown>) | null;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A generation under way: iterate over it for its pieces, await `result()` for the whole; both, in either order, too.
 * It starts when the first piece or the result is asked for, and then runs to its end beside all others: pieces wait for
 * a slow reader. Leaving a loop over it early ends it with `abort`. Each piece is delivered once.
 */
export class Generation<Value = unknown> implements AsyncIterable<GenerationPiece> {
  readonly #start: StartGeneration;
  readonly #request: GenerationRequest;
  readonly #options: GenerationOptions;
  readonly #text: GenerationText;
  readonly #outcome = deferred<GenerationResult<Value>>();
  /** Pieces that have not been read yet. */
  readonly #pieces: GenerationPiece[] = [];
  readonly #readers: { resolve: () => void }[] = [];
  /** Receives the pieces as they come, in place of an iterator. */
  #onPiece: ((piece: GenerationPiece) => void) | null = null;
  #handle: GenerationHandle | null = null;
  #failure: { readonly error: unknown } | null = null;
  #hasStarted = false;
  #hasEnded = false;
  #stopWaiting: () => void = () => undefined;
  #isLeft = false;

  /** Made by `LanguageModel.generate`. */
  constructor(start: StartGeneration, request: GenerationRequest, options: GenerationOptions) {
    this.#start = start;
    this.#request = request;
    this.#options = options;
    this.#text = new GenerationText(request, options, (piece) => {
      if (this.#onPiece !== null) {
        this.#onPiece(piece);
        return;
      }
      this.#pieces.push(piece);
      this.#tell();
    });
    // A failure also reaches the iterator; without a caller of `result` it is not an unhandled rejection.
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
   * Gives the pieces away as they become final, in place of iterating: no promise for each, and none of them waits. What
   * `onPiece` throws ends the generation.
   * @returns the whole, once it has ended
   * @throws LastrowError what iterating would throw
   */
  each(onPiece: (piece: GenerationPiece) => void): Promise<GenerationResult<Value>> {
    for (const piece of this.#pieces.splice(0)) onPiece(piece);
    this.#onPiece = onPiece;
    return this.result();
  }

  /**
   * The whole, once it has ended.
   * @throws LastrowError what iterating would throw
   */
  async result(): Promise<GenerationResult<Value>> {
    this.#begin();
    return this.#outcome.promise;
  }

  #begin(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.#endUnstarted();
      return;
    }
    this.#stopWaiting = onAbort(signal, () => this.#handle?.cancel());
    try {
      this.#handle = this.#start(this.#request, {
        tokens: (index, chosen) => {
          const kept = this.#text.take(index, chosen);
          if (this.#request.endsByText) this.#handle?.resume(index, kept);
        },
        finished: (index) => this.#text.finished(index),
        end: (outcome) => {
          const result = this.#text.result(outcome);
          const { readValue } = this.#options;
          if (readValue === null) this.#end(result);
          else
            this.#withValues(result, readValue).then(
              (whole) => this.#end(whole),
              (error) => this.#fail(error),
            );
        },
        fail: (error) => this.#fail(error),
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** What a console of Node's shows of it. */
  [INSPECT](): string {
    const { prompt, maxTokens, n } = this.#request;
    const state =
      this.#failure !== null
        ? "failed"
        : this.#hasEnded
          ? "ended"
          : this.#hasStarted
            ? "running"
            : "not started";
    const many = n > 1 ? `, n: ${n}` : "";
    return `Generation { ${state}, promptTokens: ${prompt.length}, maxTokens: ${maxTokens}${many} }: iterate over it, or await its result()`;
  }

  async #withValues(
    result: GenerationResult,
    readValue: (text: string) => Promise<unknown>,
  ): Promise<GenerationResult> {
    const choices = await Promise.all(
      result.choices.map(async (choice) =>
        choice.finishReason === "stop" ? { ...choice, value: await readValue(choice.text) } : choice,
      ),
    );
    return { ...result, ...choices[0], choices };
  }

  #end(result: GenerationResult): void {
    this.#stopWaiting();
    this.#hasEnded = true;
    this.#outcome.resolve(result as GenerationResult<Value>);
    this.#tell();
  }

  #fail(error: unknown): void {
    this.#stopWaiting();
    this.#hasEnded = true;
    this.#failure = { error };
    this.#outcome.reject(error);
    this.#tell();
  }

  #leave(): void {
    this.#isLeft = true;
    this.#pieces.length = 0;
    if (this.#hasStarted) this.#handle?.cancel();
    else this.#endUnstarted();
    this.#tell();
  }

  #endUnstarted(): void {
    this.#hasStarted = true;
    this.#end(this.#text.result(unstartedOutcome(this.#request.n)));
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

function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
