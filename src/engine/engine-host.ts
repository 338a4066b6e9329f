/**
 * The engine's side of the messages: owns the core, steps it as long as a call waits, and answers. Between
 * steps it takes what has arrived, so that a cancel or a new prompt waits for one step at most. What goes wrong with one
 * call is reported to that call alone; what goes wrong in a step ends the engine, which is reported to its client.
 */
import { LastrowError } from "../errors.js";
import type { ReadProgress } from "../formats/load-progress.js";
import { type Clock, systemClock } from "../platform/clock.js";
import type { Threads } from "../platform/threads.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { EngineEvent } from "../protocol/engine-stats.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import type { ClientMessage, EnginePort, HostMessage } from "../protocol/messages.js";
import { toRemoteError } from "../protocol/remote-error.js";
import { SamplingScratch } from "../sampling/scratch.js";
import { BeamJob } from "./beam-job.js";
import type { EngineCore } from "./engine-core.js";
import { GenerationJob, type ObservedStep } from "./generation-job.js";
import { GrammarStore } from "./grammar-store.js";
import { loadEngine } from "./load-engine.js";
import { beginProbe } from "./probe.js";
import { ReadoutJob } from "./readout-job.js";
import { RemoteFiles } from "./remote-files.js";
import type { LogitsConsumer, ScheduledSequence } from "./scheduled-sequence.js";
import { TierLink } from "./tier-link.js";
import { TurnTaker } from "./turn-taker.js";

type Message<Type extends ClientMessage["type"]> = Extract<ClientMessage, { type: Type }>;

/** Looks at a vocabulary's tree after a step of others, for each of its milliseconds: some 3 % of it. Measured. */
const FUEL_PER_STEP_MS = 3000;
const LEAST_FUEL = 1000;
/** Those before the event loop has a turn, where nobody else has a step: some milliseconds. */
const FUEL_ALONE = 200_000;

interface HostOptions {
  readonly longestHoldMs: number;
  readonly gatherMs: number;
  readonly tierClock?: Clock;
}

export class EngineHost {
  readonly #port: EnginePort;
  readonly #threads: Threads;
  readonly #turns: TurnTaker;
  readonly #gatherMs: number;
  readonly #tierClock: Clock;
  readonly #generations = new Map<number, GenerationJob | BeamJob>();
  readonly #grammars = new GrammarStore();
  /** Of the generations, those that are held to a grammar. */
  readonly #constrained = new Map<number, GenerationJob>();
  readonly #readouts = new Map<number, ReadoutJob>();
  readonly #sequences = new Map<number, ScheduledSequence>();
  /** What to do when the rows of a sequence are there again. */
  readonly #rowsWanted = new Map<number, () => void>();
  #core: EngineCore | null = null;
  /** For all that choose tokens here: they take turns. */
  #scratch: SamplingScratch | null = null;
  #files: RemoteFiles | null = null;
  #tier: TierLink | null = null;
  /** What ended the core, or kept it from being made. */
  #broken: { readonly error: unknown } | null = null;
  #isStepping = false;
  /** What is to be said next, and what goes along with it. */
  #outbox: HostMessage[] = [];
  #transfer: ArrayBuffer[] = [];
  /** Something in the outbox cannot wait for what the next step has to say. */
  #isUrgent = false;
  /** Since when the first thing in the outbox waits; null while it is empty. */
  #waitsSince: number | null = null;
  #listenerId = 0;
  #stopListening: (() => void) | null = null;
  #events: EngineEvent[] = [];

  /**
   * @param longestHoldMs how long steps may follow each other before everything else in the thread gets a turn
   * @param gatherMs how long tokens that need no answer may wait for those of the next steps
   * @param tierClock by which loads from a KV tier have their deadlines
   */
  constructor(port: EnginePort, threads: Threads, options: HostOptions) {
    const { longestHoldMs, gatherMs, tierClock = systemClock } = options;
    this.#port = port;
    this.#threads = threads;
    this.#gatherMs = gatherMs;
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
    return this.#expectCore();
  }

  /** Whether it has ended. For tests that look inside. @internal */
  get isClosed(): boolean {
    return this.#broken !== null;
  }

  /** What it has for its client. For tests that look inside. @internal */
  get held(): { readonly jobs: number; readonly sequences: number; readonly isListening: boolean } {
    return {
      jobs: this.#generations.size + this.#readouts.size,
      sequences: this.#sequences.size + this.#rowsWanted.size,
      isListening: this.#stopListening !== null,
    };
  }

  /** Ends everything, without sending anything. */
  async close(): Promise<void> {
    this.#broken ??= { error: new LastrowError("disposed", "The engine was ended.") };
    this.#files?.fail();
    this.#outbox = [];
    this.#events = [];
    this.#tier?.close();
    await this.#core?.dispose();
  }

  #receive(message: ClientMessage): void {
    try {
      this.#handle(message);
    } catch (error) {
      if ("id" in message) this.#say({ type: "failed", id: message.id, error: toRemoteError(error) });
    }
    this.#flush();
    void this.#run();
  }

  #handle(message: ClientMessage): void {
    switch (message.type) {
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
        this.#grammars.setVocabulary(message.vocabulary);
        return;
      case "generate":
        this.#generate(message);
        return;
      case "resume": {
        const job = this.#generations.get(message.id);
        if (job instanceof GenerationJob) job.resume(message.index, message.kept);
        return;
      }
      case "cancel":
        this.#generations.get(message.id)?.cancel();
        this.#readouts.get(message.id)?.cancel();
        return;
      case "computeReadout":
        this.#computeReadout(message);
        return;
      case "startSequence":
        this.#startSequence(message);
        return;
      case "extendSequence":
        this.#extendSequence(message);
        return;
      case "forkSequence": {
        const { id, from } = message;
        this.#sequences.set(id, this.#expectCore().fork(this.#sequenceOf(from), this.#consumer(id, false)));
        return;
      }
      case "readRows":
        this.#readRows(message);
        return;
      case "restoreSequence": {
        const { id, tokens } = message;
        this.#sequences.set(
          id,
          this.#expectCore().transfer.begin(tokens, this.#consumer(id, false), message),
        );
        this.#sayReserved(id);
        return;
      }
      case "makeRoom":
        this.#expectCore().transfer.makeRoom(this.#sequenceOf(message.id), message.rows);
        this.#sayReserved(message.id);
        return;
      case "placeRows":
        this.#placeRows(message);
        return;
      case "commitRows":
        this.#expectCore().transfer.commit(this.#sequenceOf(message.id), message.tokens);
        this.#sayReserved(message.id);
        return;
      case "probe":
        this.#probe(message);
        return;
      case "connectTier":
        this.#connectTier(message);
        return;
      case "endSequence":
        this.#endSequence(message.id);
        this.#say({ type: "ended", id: message.id, outcome: null });
        return;
      case "stats":
        this.#say({ type: "stats", id: message.id, stats: this.#expectCore().stats });
        return;
      case "listen":
        this.#listenerId = message.id;
        this.#stopListening?.();
        this.#stopListening = this.#expectCore().listen(
          (event) => this.#events.push(event),
          message.types === null ? null : new Set(message.types),
        );
        return;
      case "unlisten":
        this.#stopListening?.();
        this.#stopListening = null;
        this.#events = [];
    }
  }

  #load({ id, setup }: Message<"load">): void {
    const remote = new RemoteFiles(setup.files, (question) => {
      this.#say({ type: "read", id, ...question }, question.buffer);
      this.#flush();
    });
    const onProgress = (progress: ReadProgress) => this.#say({ type: "progress", id, progress });
    this.#files = remote;
    loadEngine(setup, remote.files, this.#threads, onProgress)
      .then(async ({ core, info }) => {
        this.#files = null;
        if (this.#broken !== null) {
          await core.dispose();
          return;
        }
        this.#core = core;
        this.#scratch = new SamplingScratch(setup.decoder.vocabSize);
        this.#say({ type: "loaded", id, info });
      })
      .catch((error) => {
        this.#broken ??= { error };
        this.#say({ type: "failed", id, error: toRemoteError(error) });
      })
      .finally(() => this.#flush());
  }

  #generate({ id, request, observed }: Message<"generate">): void {
    const core = this.#expectCore();
    const scratch = this.#scratch;
    if (scratch === null) throw new Error("no engine was loaded");
    let hasBegun = false;
    const sink: GenerationSink = {
      tokens: (index, chosen) => {
        this.#outbox.push({ type: "tokens", id, index, chosen });
        this.#isUrgent ||= request.endsByText || !hasBegun;
        hasBegun = true;
      },
      finished: (index) => this.#outbox.push({ type: "finished", id, index }),
      end: (outcome) => {
        this.#forget(id);
        this.#say({ type: "ended", id, outcome });
      },
      fail: (error) => {
        this.#forget(id);
        this.#say({ type: "failed", id, error: toRemoteError(error) });
      },
    };
    const onStep = ({ index, logits, rows, ms }: ObservedStep) => {
      if (index >= (observed ?? 0)) this.#say({ type: "step", id, logits: null, rows, ms });
      else {
        const copy = logits.slice() as Float32Array<ArrayBuffer>;
        this.#say({ type: "step", id, logits: copy, rows, ms }, copy.buffer);
      }
    };
    const { beams, constraint } = request;
    const grammar = constraint === null ? null : this.#grammars.grammar(constraint.key, constraint.grammar);
    const job =
      beams === null
        ? new GenerationJob(core, scratch, request, sink, grammar, observed === null ? undefined : onStep)
        : new BeamJob(core, scratch, request, beams, sink);
    this.#generations.set(id, job);
    if (grammar !== null && job instanceof GenerationJob) this.#constrained.set(id, job);
    job.begin();
  }

  #computeReadout({ id, request }: Message<"computeReadout">): void {
    const say = (message: HostMessage, transfer?: ArrayBuffer) => {
      this.#readouts.delete(id);
      this.#say(message, transfer);
    };
    const job = new ReadoutJob(this.#expectCore(), request, {
      end: (outcome) => say({ type: "readout", id, outcome }, outcome.vector.buffer),
      cancelled: () => say({ type: "ended", id, outcome: null }),
      fail: (error) => say({ type: "failed", id, error: toRemoteError(error) }),
    });
    this.#readouts.set(id, job);
  }

  #probe({ id, tokens }: Message<"probe">): void {
    beginProbe(this.#expectCore(), tokens, {
      end: (bytes) => this.#say({ type: "probed", id, bytes }, bytes.buffer),
      fail: (error) => this.#say({ type: "failed", id, error: toRemoteError(error) }),
    });
  }

  #connectTier({ port, policy }: Message<"connectTier">): void {
    this.#tier = new TierLink(this.#expectCore(), port, policy, this.#tierClock, () => {
      this.#flush();
      void this.#run();
    });
  }

  #forget(id: number): void {
    this.#generations.delete(id);
    this.#constrained.delete(id);
  }

  #startSequence({ id, tokens, once, ...options }: Message<"startSequence">): void {
    this.#sequences.set(id, this.#expectCore().start(tokens, this.#consumer(id, once), options));
  }

  #extendSequence({ id, keep, tokens, logitsFrom }: Message<"extendSequence">): void {
    const core = this.#expectCore();
    const sequence = this.#sequenceOf(id);
    try {
      core.capacity.expect(keep + tokens.length);
    } catch (error) {
      this.#say({ type: "refused", id, error: toRemoteError(error) });
      return;
    }
    core.cut(sequence, keep);
    core.extend(sequence, tokens, logitsFrom);
    // They were given, not chosen here.
    sequence.numPromptTokens = sequence.tokens.length;
  }

  #readRows({ id, range, memory }: Message<"readRows">): void {
    const core = this.#expectCore();
    const sequence = this.#sequenceOf(id);
    const read = () => {
      const rows = core.transfer.read(sequence, range, memory);
      this.#say({ type: "rows", id, rows }, rows.buffer);
    };
    if (core.expectRows(sequence)) read();
    else this.#rowsWanted.set(id, read);
  }

  #placeRows({ id, rows, ...source }: Message<"placeRows">): void {
    this.#expectCore().transfer.place(this.#sequenceOf(id), { ...source, rows });
    this.#say({ type: "placed", id, rows }, rows.buffer);
  }

  #sayReserved(id: number): void {
    const { tokens, table } = this.#sequenceOf(id);
    this.#say({
      type: "reserved",
      id,
      length: tokens.length,
      capacity: Math.max(table.capacity, tokens.length),
    });
  }

  #endSequence(id: number): void {
    this.#rowsWanted.delete(id);
    const sequence = this.#sequences.get(id);
    this.#sequences.delete(id);
    if (sequence !== undefined) this.#expectCore().end(sequence);
  }

  #consumer(id: number, once: boolean): LogitsConsumer {
    return {
      take: ({ firstPosition, count, row }: ComputedLogits) => {
        const sequence = this.#sequenceOf(id);
        const readRows = this.#rowsWanted.get(id);
        if (readRows !== undefined) {
          // They are looked at before another step can take them again.
          this.#rowsWanted.delete(id);
          readRows();
          return;
        }
        const width = row(0).length;
        const logits = new Float32Array(count * width);
        for (let i = 0; i < count; i++) logits.set(row(i), i * width);
        const isLast = firstPosition + count === sequence.tokens.length;
        const { rowsComputed, computeMs } = sequence;
        const numCachedTokens = sequence.numCachedTokens ?? 0;
        this.#say(
          {
            type: "logits",
            id,
            firstPosition,
            count,
            logits,
            isLast,
            numCachedTokens,
            rowsComputed,
            computeMs,
          },
          logits.buffer,
        );
        if (isLast && once) this.#endSequence(id);
      },
      fail: (error) => {
        this.#rowsWanted.delete(id);
        this.#sequences.delete(id);
        this.#say({ type: "failed", id, error: toRemoteError(error) });
      },
    };
  }

  /** Goes on stepping, if it does not already. */
  async #run(): Promise<void> {
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      while (this.#broken === null && this.#hasMore) {
        await this.#turns.take();
        const start = performance.now();
        if (this.#broken !== null || this.#core === null) break;
        if (this.#core.hasWork) this.#core.step();
        else this.#tier?.whileIdle();
        this.#tier?.arm();
        this.#prepareWaiting(this.#core.hasWork ? performance.now() - start : null);
        if (this.#isDue(this.#core, start)) this.#flush();
      }
    } catch (error) {
      this.#break(error);
    } finally {
      this.#isStepping = false;
    }
  }

  get #hasMore(): boolean {
    return this.#core?.hasWork === true || this.#hasWaiting() || this.#tier?.hasOffers === true;
  }

  #hasWaiting(): boolean {
    for (const job of this.#constrained.values()) if (job.isWaiting) return true;
    return false;
  }

  /**
   * Generations that wait for their grammar: one works on it after each step, in turn, and no longer than that step's others
   * would notice.
   * @param stepMs how long the step took; null: nobody else has one
   */
  #prepareWaiting(stepMs: number | null): void {
    for (const [id, job] of this.#constrained) {
      if (!job.isWaiting) continue;
      job.prepare(stepMs === null ? FUEL_ALONE : Math.max(LEAST_FUEL, stepMs * FUEL_PER_STEP_MS));
      if (!this.#constrained.delete(id)) return;
      this.#constrained.set(id, job);
      return;
    }
  }

  /** No call can be served any more, and the core is not touched again. */
  #break(cause: unknown): void {
    const message = `The model's engine has ended by an internal error (${cause instanceof Error ? cause.message : String(cause)}); load the model again, and please report it.`;
    const error = cause instanceof LastrowError ? cause : new LastrowError("engine_lost", message, { cause });
    this.#broken = { error };
    this.#say({ type: "broken", error: toRemoteError(error) });
    this.#flush();
  }

  /**
   * Whether what there is to say must not wait for what the next step has to say. Every message wakes the client's thread,
   * which a fast model's steps would do a thousand times a second.
   * @param start when the last step began: the next one takes as long, unless there is a prompt to feed
   */
  #isDue(core: EngineCore, start: number): boolean {
    if (this.#isUrgent || !core.hasWork || core.hasPromptToFeed) return true;
    if (this.#outbox.length === 0 && this.#events.length === 0) return false;
    const now = performance.now();
    this.#waitsSince ??= now;
    return now + (now - start) - this.#waitsSince >= this.#gatherMs;
  }

  /** Says something at the end of the step, or of the message, that is at work. */
  #say(message: HostMessage, transfer?: ArrayBuffer): void {
    this.#isUrgent = true;
    this.#outbox.push(message);
    if (transfer !== undefined) this.#transfer.push(transfer);
  }

  #flush(): void {
    if (this.#events.length > 0) {
      // Events are sent before the answers that they led to.
      this.#outbox.unshift({ type: "events", id: this.#listenerId, events: this.#events });
      this.#events = [];
    }
    if (this.#outbox.length === 0) return;
    const messages = this.#outbox;
    const transfer = this.#transfer;
    this.#outbox = [];
    this.#transfer = [];
    this.#isUrgent = false;
    this.#waitsSince = null;
    this.#port.post(messages, transfer);
  }

  /** @throws what ended the core */
  #expectCore(): EngineCore {
    if (this.#broken !== null) throw this.#broken.error;
    if (this.#core === null) throw new Error("no engine was loaded");
    return this.#core;
  }

  #sequenceOf(id: number): ScheduledSequence {
    const sequence = this.#sequences.get(id);
    if (sequence === undefined) throw new Error("no such sequence");
    return sequence;
  }
}
