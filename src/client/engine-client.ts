/**
 * The engine's asynchronous face, for its callers: promises, sinks and streams over the messages of
 * protocol/messages.ts. The engine itself runs behind the connection, mostly in a worker; nothing here waits for a forward pass.
 */
import { onAbort } from "../abort-listeners.js";
import { LastrowError } from "../errors.js";
import type { ReadProgress } from "../formats/load-progress.js";
import type { ModelFile } from "../formats/model-files.js";
import type { TokenVocabulary } from "../grammar/token-vocabulary.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { EngineInfo, EngineSetup } from "../protocol/engine-setup.js";
import type { EngineEvent, EngineEventType, EngineStats } from "../protocol/engine-stats.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import type { GenerationRequest } from "../protocol/generation-request.js";
import type { TierPolicy } from "../protocol/kv-tier.js";
import type { ClientMessage, EngineConnection, HostMessage } from "../protocol/messages.js";
import type { ThreadPort } from "../protocol/port.js";
import type { ReadoutOutcome, ReadoutRequest } from "../protocol/readout-request.js";
import { fromRemoteError } from "../protocol/remote-error.js";
import { EngineLink } from "./engine-link.js";
import { EventSubscription } from "./event-subscription.js";
import { RemoteSequence, type SequenceCost } from "./remote-sequence.js";
import { type OnRead, ServedFiles } from "./served-files.js";

/** A generation under way. */
export interface GenerationHandle {
  /** Ends it with `abort`, unless it has ended. */
  cancel(): void;
  /** See `GenerationJob.resume`. */
  resume(index: number, kept: number | null): void;
}

/** Observes the inferences of a generation. */
export interface StepObserver {
  /** Inferences whose logits are wanted: the first ones. */
  readonly logitsOf: number;
  /**
   * @property logits (V), to keep; null where they are not wanted
   * @property rows rows that went through the model
   * @property ms milliseconds in the model
   */
  onStep(step: { readonly logits: Float32Array | null; readonly rows: number; readonly ms: number }): void;
}

export interface LoadEngineOptions {
  readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRead?: OnRead | undefined;
}

/** An event subscriber. */
interface Subscription {
  /** Requested event types; null: all. */
  readonly types: readonly EngineEventType[] | null;
  tell(event: EngineEvent): void;
  end(error: unknown): void;
}

export class EngineClient {
  readonly #link: EngineLink;
  readonly #streams = new Set<Subscription>();
  /** Number of the call that listens to events, while there are subscribers. */
  #listening: number | null = null;

  /** Takes over the connection. `load` is to be called first. */
  constructor(connection: EngineConnection) {
    this.#link = new EngineLink(connection);
  }

  /** Whether the engine runs in a thread of its own. */
  get isWorker(): boolean {
    return this.#link.isWorker;
  }

  /** Calls and subscriptions that are under way. For tests that look whether something is left. @internal */
  get underWay(): { readonly calls: number; readonly waits: number; readonly subscriptions: number } {
    return { ...this.#link.underWay, subscriptions: this.#streams.size };
  }

  /** See `EngineLink.lost`. */
  get lost(): Promise<Error> {
    return this.#link.lost;
  }

  /**
   * Makes the engine.
   * @param files those of the setup, in its order; they stay open
   * @throws LastrowError as `loadEngine`; `aborted`, `engine_lost`
   */
  load(
    setup: EngineSetup,
    files: readonly ModelFile[],
    { onProgress, ...reading }: LoadEngineOptions,
  ): Promise<EngineInfo> {
    const served = new ServedFiles(files, reading, (message, transfer) => this.#link.post(message, transfer));
    return this.#call(
      (id) => ({ type: "load", id, setup }),
      (message) => {
        if (message.type === "read") served.read(message);
        else if (message.type === "progress") onProgress?.(message.progress);
        else if (message.type === "loaded") return message.info;
        return null;
      },
    ).catch((error) => {
      throw served.failure === null ? error : served.failure.error;
    });
  }

  /**
   * Starts a generation; its sink is called as it goes on, from later turns of the event loop. Without room for it even
   * alone it fails with `kv_memory_exhausted`.
   * @returns how to end it early, and how to go on with what waits for a word about its text
   * @throws what ended the engine
   */
  generate(request: GenerationRequest, sink: GenerationSink, observer?: StepObserver): GenerationHandle {
    this.#link.expectSound();
    const link = this.#link;
    const release = link.wait();
    const end = () => {
      link.forget(id);
      release();
    };
    const id = link.open({
      receive: (message) => {
        switch (message.type) {
          case "tokens":
            sink.tokens(message.index, message.chosen);
            return;
          case "finished":
            sink.finished(message.index);
            return;
          case "step":
            observer?.onStep(message);
            return;
          case "ended":
            end();
            if (message.outcome !== null) sink.end(message.outcome);
            return;
          case "failed":
            end();
            sink.fail(fromRemoteError(message.error));
        }
      },
      fail: (error) => {
        release();
        link.post({ type: "cancel", id });
        sink.fail(error);
      },
    });
    link.post({ type: "generate", id, request, observed: observer?.logitsOf ?? null });
    return {
      cancel: () => link.post({ type: "cancel", id }),
      resume: (index, kept) => link.post({ type: "resume", id, index, kept }),
    };
  }

  /** The vocabulary that grammars are over: once, before the first generation that is held to one. */
  tellVocabulary(vocabulary: TokenVocabulary): void {
    this.#link.post({ type: "vocabulary", vocabulary });
  }

  /**
   * A sequence that is not in the engine yet: `start` puts it there.
   * @throws what ended the engine
   */
  sequence(): RemoteSequence {
    return new RemoteSequence(this.#link);
  }

  /**
   * The logits of a sequence of tokens, of the rows from `logitsFrom` on.
   * @param use is given them as they come, in order
   * @returns what it took; null when the signal was aborted before all were there
   * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`, `engine_lost`
   */
  async computeLogits(
    tokens: readonly number[],
    options: {
      readonly logitsFrom: number;
      readonly salt: string | null;
      readonly tenant?: string | undefined;
      readonly signal?: AbortSignal | undefined;
    },
    use: (logits: ComputedLogits) => void,
  ): Promise<SequenceCost | null> {
    const { signal } = options;
    if (signal?.aborted) return null;
    const sequence = this.sequence();
    const stopWaiting = onAbort(signal, () => void sequence.end());
    try {
      return await sequence.start(tokens, { ...options, once: true }, use);
    } catch (error) {
      if (signal?.aborted) return null;
      throw error;
    } finally {
      stopWaiting();
    }
  }

  /**
   * What is read off a prompt.
   * @returns null when the signal was aborted before it was there
   * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`, `engine_lost`, `disposed`
   */
  async computeReadout(
    request: ReadoutRequest,
    signal: AbortSignal | undefined,
  ): Promise<ReadoutOutcome | null> {
    if (signal?.aborted) return null;
    let stopWaiting: () => void = () => undefined;
    try {
      const answer = await this.#call<{ readonly outcome: ReadoutOutcome | null }>(
        (id) => {
          stopWaiting = onAbort(signal, () => this.#link.post({ type: "cancel", id }));
          return { type: "computeReadout", id, request };
        },
        (message) => {
          if (message.type === "readout") return message;
          return message.type === "ended" ? { outcome: null } : null;
        },
      );
      return answer.outcome;
    } finally {
      stopWaiting();
    }
  }

  /**
   * What the engine computes of given tokens, to the bit: see `beginProbe`.
   * @throws LastrowError `numerical_error`, `kv_memory_exhausted`, `thread_lost`, `engine_lost`, `disposed`
   */
  probe(tokens: readonly number[]): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call(
      (id) => ({ type: "probe", id, tokens }),
      (message) => (message.type === "probed" ? message.bytes : null),
    );
  }

  /** Connects the engine to a KV tier, once. @param port taken over */
  connectTier(port: ThreadPort, policy: TierPolicy): void {
    this.#link.post({ type: "connectTier", port, policy }, [port]);
  }

  /** @throws LastrowError `thread_lost`, `engine_lost`, `disposed` */
  stats(): Promise<EngineStats> {
    return this.#call(
      (id) => ({ type: "stats", id }),
      (message) => (message.type === "stats" ? message.stats : null),
    );
  }

  /**
   * What happens from now on, until the engine ends.
   * @param types what is wanted of it; null: everything
   */
  events(types: readonly EngineEventType[] | null = null): EventSubscription {
    this.#link.expectSound();
    const stream = new EventSubscription((listener) => {
      const wanted = types === null ? null : new Set(types);
      const subscription: Subscription = {
        types,
        tell: (event) => {
          if (wanted?.has(event.type) ?? true) listener(event);
        },
        end: (error) => stream.end(error),
      };
      this.#streams.add(subscription);
      this.#listen();
      return () => {
        this.#streams.delete(subscription);
        if (this.#listening === null) return;
        if (this.#streams.size > 0) {
          this.#listen();
          return;
        }
        this.#link.forget(this.#listening);
        this.#listening = null;
        this.#link.post({ type: "unlisten" });
      };
    });
    return stream;
  }

  /** Ends everything; pending calls fail. */
  dispose(label: string): Promise<void> {
    return this.#link.end(new LastrowError("disposed", `${label} was disposed of.`));
  }

  /** Asks for all that the streams want. */
  #listen(): void {
    this.#listening ??= this.#openListening();
    const wanted = [...this.#streams].map(({ types }) => types);
    const types = wanted.includes(null) ? null : [...new Set(wanted.flatMap((some) => some ?? []))];
    this.#link.post({ type: "listen", id: this.#listening, types });
  }

  #openListening(): number {
    return this.#link.open({
      receive: (message) => {
        if (message.type !== "events") return;
        for (const event of message.events) for (const { tell } of [...this.#streams]) tell(event);
      },
      fail: (error) => {
        const failure = error instanceof LastrowError && error.code === "disposed" ? null : error;
        for (const { end } of [...this.#streams]) end(failure);
      },
    });
  }

  /** A call with one answer. @param answer null for a message that is not it */
  async #call<T>(
    question: (id: number) => ClientMessage,
    answer: (message: HostMessage) => T | null,
  ): Promise<T> {
    this.#link.expectSound();
    const release = this.#link.wait();
    try {
      return await new Promise<T>((resolve, reject) => {
        const id = this.#link.open({
          receive: (message) => {
            const value = message.type === "failed" ? null : answer(message);
            if (value === null && message.type !== "failed") return;
            this.#link.forget(id);
            if (message.type === "failed") reject(fromRemoteError(message.error));
            else if (value !== null) resolve(value);
          },
          fail: reject,
        });
        this.#link.post(question(id));
      });
    } finally {
      release();
    }
  }
}
