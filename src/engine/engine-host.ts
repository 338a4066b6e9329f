/**
 * The engine's side of the messages: loads the engine, steps it as long as a call waits, and ends it. Between steps it takes
 * what has arrived, so that a cancel or a new prompt waits for one step at most. What goes wrong with one call is reported to
 * that call alone; what goes wrong in a step ends the engine, which is reported to its client.
 *
 * Owns the core, and what has become of it. The calls are client-jobs.ts and client-sequences.ts; what is said, outbox.ts.
 */
import { LastrowError } from "../errors.js";
import type { ReadProgress } from "../formats/load-progress.js";
import { expectKernels } from "../kernels/wasm/wasm-kernels.js";
import { type Clock, systemClock } from "../platform/clock.js";
import type { Threads } from "../platform/threads.js";
import type { ClientMessage, ClientMessageOf, EnginePort } from "../protocol/messages.js";
import { toRemoteError } from "../protocol/remote-error.js";
import { ClientJobs } from "./client-jobs.js";
import { ClientSequences } from "./client-sequences.js";
import type { EngineCore } from "./engine-core.js";
import { LateCode } from "./late-code.js";
import { loadEngine } from "./load-engine.js";
import { Outbox } from "./outbox.js";
import { beginProbe } from "./probe.js";
import { RemoteFiles } from "./remote-files.js";
import type { TierLink } from "./tier-link.js";
import { TurnTaker } from "./turn-taker.js";

/** What there is once the engine is loaded. */
interface LoadedEngine {
  readonly core: EngineCore;
  readonly jobs: ClientJobs;
  readonly sequences: ClientSequences;
}

interface HostOptions {
  readonly longestHoldMs: number;
  readonly gatherMs: number;
  readonly tierClock?: Clock;
}

export class EngineHost {
  readonly #threads: Threads;
  readonly #turns: TurnTaker;
  readonly #outbox: Outbox;
  readonly #tierClock: Clock;
  #files: RemoteFiles | null = null;
  #engine: LoadedEngine | null = null;
  #tier: TierLink | null = null;
  readonly #code = new LateCode();
  /** Messages that came while code was fetched for one before them; null: none is fetched. */
  #held: ClientMessage[] | null = null;
  /** What ended the engine, or kept it from being made. */
  #broken: { readonly error: unknown } | null = null;
  #isStepping = false;
  #stopListening: (() => void) | null = null;

  /**
   * @param longestHoldMs how long steps may follow each other before everything else in the thread gets a turn
   * @param gatherMs how long tokens that need no answer may wait for those of the next steps
   * @param tierClock by which loads from a KV tier have their deadlines
   */
  constructor(port: EnginePort, threads: Threads, options: HostOptions) {
    const { longestHoldMs, gatherMs, tierClock = systemClock } = options;
    this.#threads = threads;
    this.#outbox = new Outbox(port, gatherMs);
    this.#tierClock = tierClock;
    this.#turns = new TurnTaker(
      () => threads.yieldToEventLoop(),
      longestHoldMs,
      () => port.hasMore?.() === true,
    );
    port.onMessage((message) => this.#receive(message));
    // Says that it listens.
    port.post([]);
  }

  /** The core, once it is loaded. For tests that look inside. @internal */
  get core(): EngineCore {
    return this.#expectEngine().core;
  }

  /** Whether it has ended. For tests that look inside. @internal */
  get isClosed(): boolean {
    return this.#broken !== null;
  }

  /** What it has for its client. For tests that look inside. @internal */
  get held(): { readonly jobs: number; readonly sequences: number; readonly isListening: boolean } {
    return {
      jobs: this.#engine?.jobs.size ?? 0,
      sequences: this.#engine?.sequences.size ?? 0,
      isListening: this.#stopListening !== null,
    };
  }

  /** Ends everything, without sending anything. */
  async close(): Promise<void> {
    this.#broken ??= { error: new LastrowError("disposed", "The engine was ended.") };
    this.#files?.fail();
    this.#outbox.clear();
    this.#tier?.close();
    await this.#engine?.core.dispose();
  }

  /** Messages are taken in their order: what comes behind one whose code is fetched waits for it. */
  #receive(message: ClientMessage): void {
    if (this.#held !== null) {
      this.#held.push(message);
      return;
    }
    const fetching = this.#code.fetchFor(message);
    if (fetching === null) {
      this.#take(message, () => this.#handle(message));
      return;
    }
    this.#held = [];
    const goOn = (handle: () => void) => {
      const held = this.#held ?? [];
      this.#held = null;
      this.#take(message, handle);
      for (const later of held) this.#receive(later);
    };
    fetching.then(
      () => goOn(() => this.#handle(message)),
      (error) =>
        goOn(() => {
          throw error;
        }),
    );
  }

  /** @param handle what is wrong is told to the message's call */
  #take(message: ClientMessage, handle: () => void): void {
    try {
      handle();
    } catch (error) {
      if ("id" in message) this.#outbox.say({ type: "failed", id: message.id, error: toRemoteError(error) });
    }
    this.#outbox.flush();
    void this.#run();
  }

  #handle(message: ClientMessage): void {
    switch (message.type) {
      case "expect":
        expectKernels(message.uses);
        return;
      case "load":
        this.#load(message);
        return;
      case "bytes":
        this.#files?.take(message.buffer);
        return;
      case "readFailed":
        this.#files?.fail();
        return;
      case "vocabulary":
        this.#expectEngine().jobs.vocabulary = message.vocabulary;
        return;
      case "generate":
        this.#expectEngine().jobs.generate(message);
        return;
      case "computeReadout":
        this.#expectEngine().jobs.computeReadout(message);
        return;
      case "resume":
        this.#engine?.jobs.resume(message);
        return;
      case "cancel":
        this.#engine?.jobs.cancel(message.id);
        return;
      case "probe":
        this.#probe(message);
        return;
      case "connectTier":
        this.#connectTier(message);
        return;
      case "stats": {
        const { stats } = this.#expectEngine().core;
        this.#outbox.say({ type: "stats", id: message.id, stats });
        return;
      }
      case "listen":
        this.#listen(message);
        return;
      case "unlisten":
        this.#stopListening?.();
        this.#stopListening = null;
        this.#outbox.forgetEvents();
        return;
      default:
        this.#expectEngine().sequences.handle(message);
    }
  }

  #load({ id, setup }: ClientMessageOf<"load">): void {
    const outbox = this.#outbox;
    const remote = new RemoteFiles(setup.files, (question) => {
      outbox.say({ type: "read", id, ...question }, question.buffer);
      outbox.flush();
    });
    const onProgress = (progress: ReadProgress) => outbox.say({ type: "progress", id, progress });
    this.#files = remote;
    loadEngine(setup, remote.files, this.#threads, onProgress)
      .then(async ({ core, info }) => {
        this.#files = null;
        if (this.#broken !== null) {
          await core.dispose();
          return;
        }
        const jobs = new ClientJobs(core, outbox, setup.decoder.vocabSize, this.#code);
        this.#engine = { core, jobs, sequences: new ClientSequences(core, outbox) };
        outbox.say({ type: "loaded", id, info });
      })
      .catch((error) => {
        this.#broken ??= { error };
        outbox.say({ type: "failed", id, error: toRemoteError(error) });
      })
      .finally(() => outbox.flush());
  }

  #probe({ id, tokens }: ClientMessageOf<"probe">): void {
    const outbox = this.#outbox;
    beginProbe(this.#expectEngine().core, tokens, {
      end: (bytes) => outbox.say({ type: "probed", id, bytes }, bytes.buffer),
      fail: (error) => outbox.say({ type: "failed", id, error: toRemoteError(error) }),
    });
  }

  #connectTier({ port, policy }: ClientMessageOf<"connectTier">): void {
    const { TierLink } = this.#code.expect("tier");
    this.#tier = new TierLink(this.#expectEngine().core, port, policy, this.#tierClock, () => {
      this.#outbox.flush();
      void this.#run();
    });
  }

  #listen({ id, types }: ClientMessageOf<"listen">): void {
    this.#outbox.answerEventsTo(id);
    this.#stopListening?.();
    this.#stopListening = this.#expectEngine().core.listen(
      (event) => this.#outbox.sayEvent(event),
      types === null ? null : new Set(types),
    );
  }

  /** Goes on stepping, if it does not already. */
  async #run(): Promise<void> {
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      while (this.#broken === null && this.#hasMore) {
        await this.#turns.take();
        const start = performance.now();
        if (this.#broken !== null || this.#engine === null) break;
        const { core, jobs } = this.#engine;
        if (core.hasWork) core.step();
        else this.#tier?.whileIdle();
        this.#tier?.arm();
        jobs.prepareWaiting(core.hasWork ? performance.now() - start : null);
        // No step is to come, or one with a prompt, which may take far longer than the last.
        const wouldWait = () => !core.hasWork || core.hasPromptToFeed;
        if (this.#outbox.isDue(start) || wouldWait()) this.#outbox.flush();
      }
    } catch (error) {
      this.#break(error);
    } finally {
      this.#isStepping = false;
    }
  }

  get #hasMore(): boolean {
    if (this.#engine === null) return false;
    const { core, jobs } = this.#engine;
    return core.hasWork || jobs.areWaiting || this.#tier?.hasOffers === true;
  }

  /** No call can be served any more, and the core is not touched again. */
  #break(cause: unknown): void {
    const message = `The model's engine has ended by an internal error (${cause instanceof Error ? cause.message : String(cause)}); load the model again, and please report it.`;
    const error = cause instanceof LastrowError ? cause : new LastrowError("engine_lost", message, { cause });
    this.#broken = { error };
    this.#outbox.say({ type: "broken", error: toRemoteError(error) });
    this.#outbox.flush();
  }

  /** @throws what ended the engine */
  #expectEngine(): LoadedEngine {
    if (this.#broken !== null) throw this.#broken.error;
    if (this.#engine === null) throw new Error("no engine was loaded");
    return this.#engine;
  }
}
