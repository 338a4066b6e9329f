/**
 * A sequence that a program holds and edits by hand: append, fork, cut back, look at the logits. While nothing is asked
 * of it, its blocks may be taken for others; its rows then come back by prefix hits or recomputation, with the same bits.
 */

import { onAbort } from "../abort-listeners.js";
import { aborted, LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import { INSPECT } from "../inspect.js";
import type { ModelConfig } from "../model/config.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import { checkPrompt } from "../protocol/generation-request.js";
import type { SavedSequence } from "../saved-sequence/read-sequence.js";
import type { SequenceToSave } from "../saved-sequence/write-sequence.js";
import type { EngineClient } from "./engine-client.js";
import type { RemoteSequence, SequenceCost } from "./remote-sequence.js";
import type { SequenceStorage } from "./sequence-storage.js";

/** What a sequence needs to know of its model. */
export interface SequenceModel {
  /** Text or ids → ids to append. */
  readonly toIds: (tokens: string | readonly number[]) => readonly number[];
  readonly config: Pick<ModelConfig, "vocabSize" | "contextLength" | "maxContextLength">;
  readonly storage: SequenceStorage;
}

/** How a sequence is edited. */
export interface EditOptions {
  /** Cancels with the error code `aborted`, unless it is done; the sequence is then as it was. */
  readonly signal?: AbortSignal | undefined;
}

const APPEND_OPTIONS = optionNames<EditOptions>()("append", { signal: true });
const TRUNCATE_OPTIONS = optionNames<EditOptions>()("truncate", { signal: true });

/** The state of a sequence. */
interface SequenceState {
  /** Sequences with the same salt share K and V; null: shared with none. */
  readonly salt: string | null;
  readonly tokens: readonly number[];
  readonly logits: Float32Array;
  readonly numCachedTokens: number;
}

/**
 * A sequence of tokens under one's own hand; `LanguageModel.sequence` and `restore` make one. Calls need not be awaited:
 * they run one after the other.
 */
export class Sequence implements AsyncDisposable {
  readonly #remote: RemoteSequence;
  readonly #model: SequenceModel;
  #state: SequenceState;
  /** Operations run one after the other, in the order of the calls. */
  #last: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  private constructor(remote: RemoteSequence, model: SequenceModel, state: SequenceState) {
    this.#remote = remote;
    this.#model = model;
    this.#state = state;
  }

  /** Computes a first history. Made by `LanguageModel.sequence`. @internal */
  static async start(
    engine: EngineClient,
    tokens: readonly number[],
    options: {
      readonly salt: string | null;
      readonly tenant: string;
      readonly signal?: AbortSignal | undefined;
    },
    model: SequenceModel,
  ): Promise<Sequence> {
    const { salt, tenant, signal } = options;
    if (signal?.aborted) throw notBegun(signal);
    const remote = engine.sequence();
    const { logits, numCachedTokens } = await endedByAbort(remote, signal, () =>
      lastLogits((use) => remote.start(tokens, { salt, tenant }, use)),
    );
    return new Sequence(remote, model, { salt, tokens, logits, numCachedTokens });
  }

  /** Takes up a saved history. Made by `LanguageModel.restore`. @internal */
  static async restore(
    engine: EngineClient,
    saved: SavedSequence,
    options: {
      readonly salt: string;
      readonly tenant: string;
      readonly signal?: AbortSignal | undefined;
    },
    model: SequenceModel,
  ): Promise<Sequence> {
    const { placeSaved, saltOfRestored } = await fetchedCode(import("./sequence-storage.js"));
    const salt = await saltOfRestored(saved, model.storage, options.salt);
    const remote = engine.sequence();
    try {
      const { tokens } = saved;
      const placed = await placeSaved(remote, saved, { ...options, salt, knownSalt: options.salt });
      const rest = tokens.slice(placed);
      const { logits, numCachedTokens } = await endedByAbort(remote, options.signal, () =>
        lastLogits((use) => remote.extend(placed, rest, tokens.length - 1, use)),
      );
      return new Sequence(remote, model, { salt, tokens, logits, numCachedTokens });
    } catch (error) {
      await remote.end();
      throw error;
    }
  }

  /** It cannot be used any more: it was disposed of, a computation of it failed, or its engine is gone. */
  get hasEnded(): boolean {
    return this.#isDisposed || this.#remote.hasEnded;
  }

  /** What a console of Node's shows of it. */
  [INSPECT](): string {
    const { tokens, numCachedTokens, logits } = this.#state;
    const state = this.#isDisposed ? "disposed, " : "";
    return `Sequence { ${state}length: ${tokens.length}, numCachedTokens: ${numCachedTokens}, logits: Float32Array(${logits.length}) }`;
  }

  /** Number of tokens. */
  get length(): number {
    return this.#state.tokens.length;
  }

  /** A copy of its tokens. */
  get tokens(): number[] {
    return [...this.#state.tokens];
  }

  /** (vocabulary) The logits after the last token; yours to keep; never overwritten. */
  get logits(): Float32Array {
    return this.#state.logits;
  }

  /** Tokens of the first history whose K and V were there already. */
  get numCachedTokens(): number {
    return this.#state.numCachedTokens;
  }

  /**
   * Adds tokens, or the tokens of a text, at the end; `logits` are then those after the last of them.
   * @throws LastrowError `token_out_of_range`, `context_length_exceeded`, `kv_memory_exhausted`, `tokenizer_missing`,
   *   `aborted`, and the sequence is as it was; `numerical_error`, which ends it; `disposed`
   */
  append(tokens: string | readonly number[], options: EditOptions = {}): Promise<void> {
    return this.#enqueue(async () => {
      checkOptions(options, APPEND_OPTIONS);
      const added = this.#model.toIds(tokens);
      if (added.length === 0) return;
      checkPrompt([...this.#state.tokens, ...added], this.#model.config);
      await this.#extend(this.length, added, options);
    });
  }

  /**
   * Forgets all tokens from position `length` on; `logits` are then those after the last one that is left, whose row is
   * computed again.
   * @throws LastrowError `invalid_argument` for a length below 1 or above the present one, `aborted`, and the sequence is as
   *   it was; `numerical_error`, which ends it; `disposed`
   */
  truncate(length: number, options: EditOptions = {}): Promise<void> {
    return this.#enqueue(async () => {
      checkOptions(options, TRUNCATE_OPTIONS);
      if (!Number.isInteger(length) || length < 1 || length > this.length) {
        throw new LastrowError(
          "invalid_argument",
          `A sequence of ${this.length} tokens can be cut back to 1 to ${this.length} tokens, not ${shown(length)}.`,
        );
      }
      if (length === this.length) return;
      await this.#extend(length - 1, [this.#state.tokens[length - 1]], options);
    });
  }

  /** A second sequence with the same history; both go their own ways from here, and share what they have. */
  fork(): Promise<Sequence> {
    return this.#enqueue(async () => new Sequence(this.#remote.fork(), this.#model, this.#state));
  }

  /**
   * Saves it: its tokens, K and V, as a safetensors file (docs/saved-sequences.md) from which `LanguageModel.restore`
   * makes an equal sequence. In Node `path` names the file; it appears whole or not at all, and replaces one that was
   * there. Without a path the file's contents are returned, on every platform.
   * @throws LastrowError `file_not_written`, and what was there before is still there; `invalid_argument` for a path in a
   *   browser; `kv_memory_exhausted`, `numerical_error` when its rows had to be computed again and could not; `disposed`
   */
  save(path: string | URL): Promise<void>;
  save(): Promise<Blob>;
  save(path?: string | URL): Promise<unknown> {
    return this.#enqueue(async () => {
      const { sequenceFile } = await fetchedCode(import("../saved-sequence/write-sequence.js"));
      const file = sequenceFile(
        await this.#toSave(),
        (range, memory) => this.#remote.readRows(range, memory),
        this.#model.storage.spareMemory,
      );
      if (path !== undefined) {
        await this.#model.storage.replaceFile(path, file);
        return undefined;
      }
      // Pieces become the runtime's one by one: it may keep them where it likes.
      const pieces: Blob[] = [];
      for await (const piece of file) pieces.push(new Blob([piece]));
      return new Blob(pieces, { type: "application/octet-stream" });
    });
  }

  /** Bytes of the file that `save` would make of it now. @throws LastrowError `disposed` */
  savedBytes(): Promise<number> {
    return this.#enqueue(async () => {
      const { sequenceFileBytes } = await fetchedCode(import("../saved-sequence/write-sequence.js"));
      return sequenceFileBytes(await this.#toSave());
    });
  }

  async #toSave(): Promise<SequenceToSave> {
    const { identity, kv, installationKey } = this.#model.storage;
    const { tokens, salt } = this.#state;
    const key = salt === null ? null : await installationKey();
    const signature = key === null || salt === null ? null : { installationKey: key, salt };
    return { identity: await identity(), kv, tokens, signature };
  }

  /** Lets go of it. Calling it twice is fine; using the sequence afterwards is an error. */
  dispose(): Promise<void> {
    if (!this.#isDisposed) {
      this.#isDisposed = true;
      this.#last = this.#last.then(() => this.#remote.end());
    }
    return this.#last.then(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Cuts it back to `keep` tokens and adds others. */
  async #extend(keep: number, added: readonly number[], { signal }: EditOptions): Promise<void> {
    const before = this.#state.tokens;
    const tokens = [...before.slice(0, keep), ...added];
    const cancelled = () => aborted("The edit of the sequence was cancelled; it is as it was.", signal);
    if (signal?.aborted) throw cancelled();
    const stopWaiting = onAbort(signal, () => this.#remote.withdraw(keep, before.slice(keep), cancelled()));
    try {
      const { logits } = await lastLogits((use) => this.#remote.extend(keep, added, tokens.length - 1, use));
      this.#state = { ...this.#state, tokens, logits };
    } finally {
      stopWaiting();
    }
  }

  #enqueue<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isDisposed)
      return Promise.reject(new LastrowError("disposed", "The sequence was used after dispose()."));
    const done = this.#last.then(() => {
      if (this.#remote.hasEnded) {
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

function notBegun(signal: AbortSignal | undefined): LastrowError {
  return aborted("The sequence was cancelled before its prompt was computed.", signal);
}

/** Computes a first history, which the signal ends with its sequence: also in the very turn in which it is there. */
async function endedByAbort<T>(
  remote: RemoteSequence,
  signal: AbortSignal | undefined,
  compute: () => Promise<T>,
): Promise<T> {
  const stopWaiting = onAbort(signal, () => void remote.end());
  try {
    const computed = await compute();
    if (signal?.aborted) throw notBegun(signal);
    return computed;
  } catch (error) {
    throw signal?.aborted ? notBegun(signal) : error;
  } finally {
    stopWaiting();
  }
}

/** The last row of logits that a computation gives, and what it took. */
async function lastLogits(
  compute: (use: (logits: ComputedLogits) => void) => Promise<SequenceCost>,
): Promise<SequenceCost & { logits: Float32Array }> {
  let logits: Float32Array = new Float32Array(0);
  const cost = await compute(({ row, count }) => {
    logits = row(count - 1);
  });
  return { ...cost, logits };
}
