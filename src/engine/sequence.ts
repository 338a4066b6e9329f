/**
 * A sequence that a program holds and edits by hand: append, fork, cut back, look at the logits. While nothing is asked
 * of it, its blocks may be taken for others; its rows then come back by prefix hits or recomputation, with the same bits.
 */
import { LastrowError } from "../errors.js";
import type { Engine } from "./engine.js";
import { checkPrompt } from "./generation-request.js";
import type { ComputedLogits, LogitsConsumer, ScheduledSequence } from "./scheduled-sequence.js";

/** Text or ids → ids to append. */
export type AppendedTokens = (tokens: string | readonly number[]) => readonly number[];

/** Waits for one answer of the engine at a time. */
class SequenceConsumer implements LogitsConsumer {
  waiting: { resolve: (logits: Float32Array) => void; reject: (error: unknown) => void } | null = null;

  take(logits: ComputedLogits): void {
    const { waiting } = this;
    this.waiting = null;
    waiting?.resolve(logits.row(logits.count - 1).slice());
  }

  fail(error: unknown): void {
    const { waiting } = this;
    this.waiting = null;
    waiting?.reject(error);
  }
}

export class Sequence implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #toIds: AppendedTokens;
  readonly #consumer: SequenceConsumer;
  #scheduled: ScheduledSequence;
  #logits: Float32Array;
  /** Operations run one after the other, in the order of the calls. */
  #last: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  private constructor(parts: {
    engine: Engine;
    toIds: AppendedTokens;
    consumer: SequenceConsumer;
    scheduled: ScheduledSequence;
    logits: Float32Array;
  }) {
    this.#engine = parts.engine;
    this.#toIds = parts.toIds;
    this.#consumer = parts.consumer;
    this.#scheduled = parts.scheduled;
    this.#logits = parts.logits;
  }

  /** Computes a first history. Made by `LanguageModel.sequence`. @internal */
  static async start(
    engine: Engine,
    tokens: readonly number[],
    options: { readonly salt: string | null; readonly toIds: AppendedTokens },
  ): Promise<Sequence> {
    engine.expectSound();
    const consumer = new SequenceConsumer();
    let scheduled!: ScheduledSequence;
    const logits = await new Promise<Float32Array>((resolve, reject) => {
      consumer.waiting = { resolve, reject };
      scheduled = engine.core.start(tokens, consumer, options);
      engine.wake();
    });
    return new Sequence({ engine, toIds: options.toIds, consumer, scheduled, logits });
  }

  /** Number of tokens. */
  get length(): number {
    return this.#scheduled.tokens.length;
  }

  /** A copy of its tokens. */
  get tokens(): number[] {
    return [...this.#scheduled.tokens];
  }

  /** (vocabulary) The logits after the last token; your own to read, overwritten by nobody. */
  get logits(): Float32Array {
    return this.#logits;
  }

  /** Tokens of the first history whose K and V were there already. */
  get numCachedTokens(): number {
    return this.#scheduled.numCachedTokens ?? 0;
  }

  /**
   * Adds tokens, or the tokens of a text, at the end; `logits` are then those after the last of them.
   * @throws LastrowError `token_out_of_range`, `context_length_exceeded`, `kv_memory_exhausted`, `tokenizer_missing`,
   *   and the sequence is as it was; `numerical_error`, which ends it; `disposed`
   */
  append(tokens: string | readonly number[]): Promise<void> {
    return this.#enqueue(async () => {
      const added = this.#toIds(tokens);
      if (added.length === 0) return;
      checkPrompt([...this.#scheduled.tokens, ...added], this.#engine.core.model.config);
      this.#logits = await this.#compute(() => this.#engine.core.extend(this.#scheduled, added));
    });
  }

  /**
   * Forgets all tokens from position `length` on; `logits` are then those after the last one that is left, whose row is
   * computed again.
   * @throws LastrowError `invalid_argument` for a length below 1 or above the present one; `disposed`
   */
  truncate(length: number): Promise<void> {
    return this.#enqueue(async () => {
      if (!Number.isInteger(length) || length < 1 || length > this.length) {
        throw new LastrowError(
          "invalid_argument",
          `A sequence of ${this.length} tokens is cut back to 1 to ${this.length} of them, not ${String(length)}.`,
        );
      }
      if (length === this.length) return;
      const { core } = this.#engine;
      const last = this.#scheduled.tokens[length - 1];
      this.#logits = await this.#compute(() => {
        core.cut(this.#scheduled, length - 1);
        core.extend(this.#scheduled, [last]);
      });
    });
  }

  /** A second sequence with the same history; both go their own ways from here, and share what they have. */
  fork(): Promise<Sequence> {
    return this.#enqueue(async () => {
      const consumer = new SequenceConsumer();
      return new Sequence({
        engine: this.#engine,
        toIds: this.#toIds,
        consumer,
        scheduled: this.#engine.core.fork(this.#scheduled, consumer),
        logits: this.#logits,
      });
    });
  }

  /** Lets go of it. Calling it twice is fine; using the sequence afterwards is an error. */
  dispose(): Promise<void> {
    if (this.#isDisposed) return this.#last.then(() => undefined);
    const done = this.#enqueue(async () => this.#engine.core.end(this.#scheduled));
    this.#isDisposed = true;
    return done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #compute(change: () => void): Promise<Float32Array> {
    this.#engine.expectSound();
    return new Promise((resolve, reject) => {
      this.#consumer.waiting = { resolve, reject };
      try {
        change();
      } catch (error) {
        this.#consumer.waiting = null;
        reject(error);
        return;
      }
      this.#engine.wake();
    });
  }

  #enqueue<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isDisposed)
      return Promise.reject(new LastrowError("disposed", "The sequence was used after dispose()."));
    const done = this.#last.then(() => {
      if (this.#scheduled.hasEnded) {
        throw new LastrowError(
          "disposed",
          "The sequence has ended: its computation failed before, or its model was disposed of.",
        );
      }
      return operation();
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}
