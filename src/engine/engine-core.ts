/**
 * The engine, synchronous: each `step` plans, runs one forward pass over the new rows of all sequences, and hands the
 * logits to the consumers that asked for them. What a consumer does with its logits (go on, fork, cut back, end) it does
 * through the methods here. Knows nothing of text, sampling or promises.
 *
 * Owns the model, its kernels, the KV cache and the scheduler, and says what comes of each step: which sequences fail, which
 * go on waiting. All else of a step has one place: the rows of it scheduler.ts, the pass model-runner.ts, rows that are
 * given or read row-transfer.ts.
 */
import { LastrowError } from "../errors.js";
import type { Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { Decoder } from "../model/decoder.js";
import type { WantedAs } from "../model/forward-batch.js";
import type { EngineEvent, EngineEventType, EngineStats } from "../protocol/engine-stats.js";
import { blockCounts } from "./block-counts.js";
import { EngineEvents } from "./engine-events.js";
import type { EngineTier } from "./engine-tier.js";
import { KvCapacity } from "./kv-capacity.js";
import { ModelRunner } from "./model-runner.js";
import { RowTransfer } from "./row-transfer.js";
import { type LogitsConsumer, ScheduledSequence, type StepLogits } from "./scheduled-sequence.js";
import { type ScheduledRows, Scheduler } from "./scheduler.js";
import { MeasuredStepCosts, type StepCosts } from "./step-costs.js";
import { StepCounters } from "./step-counters.js";

/** What runs a model; from then on the core's own. */
export interface EngineParts {
  readonly model: Decoder;
  readonly kernels: Kernels;
  readonly kvCache: KvCache;
  /** Most rows of a step; at most what the model takes. Default: that, which `LoadOptions.tokenBudget` decides. */
  readonly tokenBudget?: number | undefined;
  /** Most sequences of a step. */
  readonly maxSequences: number;
  /** What steps take, for speculation. Default: as it is measured. */
  readonly stepCosts?: StepCosts | undefined;
}

/** How a new sequence begins: what it shares, with which others, and what is wanted of it. */
export interface NewSequence {
  /** Sequences share K and V with those of the same salt; null: with none. */
  readonly salt: string | null;
  /** Tenants share each step and the KV cache evenly, whatever each asks for. Default: the one without a name. */
  readonly tenant?: string | undefined;
  /** Rows from this position on are wanted; default: the last one. */
  readonly logitsFrom?: number;
  /** Default: as logits. */
  readonly wantedAs?: WantedAs;
  /** Rows that it will have in the end. Default: those of its tokens. */
  readonly rowsNeeded?: number;
}

export class EngineCore {
  /** Its own, as are the next two: public for tests that look inside. @internal */
  readonly model: Decoder;
  /** @internal */
  readonly kernels: Kernels;
  /** @internal */
  readonly kvCache: KvCache;
  /** What steps take: told after each that decodes. */
  readonly stepCosts: StepCosts;
  /** How many rows a sequence can have. */
  readonly capacity: KvCapacity;
  /** Rows that are given, and rows that are read. */
  readonly transfer: RowTransfer;
  readonly #runner: ModelRunner;
  readonly #scheduler: Scheduler;
  readonly #events: EngineEvents;
  readonly #counters = new StepCounters();
  #preemptions = 0;

  constructor(parts: EngineParts) {
    const { model, kernels, kvCache, maxSequences, tokenBudget = model.maxRows } = parts;
    const { layout } = kvCache;
    this.stepCosts = parts.stepCosts ?? new MeasuredStepCosts();
    this.model = model;
    this.kernels = kernels;
    this.kvCache = kvCache;
    this.capacity = new KvCapacity(layout, model.spec.contextLength);
    this.#runner = new ModelRunner(model, kernels, layout);
    this.#events = new EngineEvents(kvCache);
    const limits = {
      tokenBudget: Math.min(tokenBudget, model.maxRows),
      maxSequences,
      maxLogitsRows: model.maxLogitsRows,
    };
    this.#scheduler = new Scheduler(kvCache, limits, ({ table }) => {
      this.#preemptions += 1;
      if (this.#events.isHeard) this.#events.tell({ type: "preempted", sequence: table.sequence });
    });
    this.transfer = new RowTransfer({
      ...{ kvCache, capacity: this.capacity, scheduler: this.#scheduler, counters: this.#counters },
      space: { kernels, kv: layout, model },
    });
  }

  /** Whether a consumer waits for logits, and not only for what the KV tier loads. */
  get hasWork(): boolean {
    return this.#scheduler.hasWork;
  }

  /** Its KV tier, or null. */
  get tier(): EngineTier | null {
    return this.#scheduler.tier;
  }

  /** From now on it is asked for rows that are missing, and offered those that are computed. */
  set tier(tier: EngineTier) {
    this.#scheduler.tier = tier;
  }

  /** Forward passes so far. */
  get steps(): number {
    return this.#counters.steps;
  }

  /** Sequences of the last forward pass. */
  get lastBatch(): number {
    return this.#counters.lastBatch;
  }

  /** Most tokens of a sequence. */
  get contextLength(): number {
    return this.model.spec.contextLength;
  }

  /** Values of a hidden row. */
  get hiddenSize(): number {
    return this.model.spec.hiddenSize;
  }

  get stats(): EngineStats {
    const { resident, waiting, tokensQueried, tokensHit } = this.#scheduler;
    const running = resident.filter(({ isAwaited }) => isAwaited).length;
    return {
      blocks: blockCounts(this.kvCache),
      prefixCache: { tokensQueried, tokensHit },
      sequences: {
        running,
        waiting: waiting.length,
        idle: this.kvCache.tables.size - running - waiting.length,
        preemptions: this.#preemptions,
      },
      tier: this.tier?.stats ?? null,
      ...this.#counters.stats,
      rows: this.model.rowsComputed,
      logitsRows: this.model.logitsRowsComputed,
      multiplyAdds: this.kernels.multiplyAdds,
    };
  }

  /** A step is to come that feeds more than a row or two of each sequence, and so may take far longer than the last. */
  get hasPromptToFeed(): boolean {
    const { waiting, resident } = this.#scheduler;
    return (
      waiting.length > 0 || resident.some(({ isAwaited, numPending }) => isAwaited && numPending > BLOCK_SIZE)
    );
  }

  /**
   * Tells a listener of what happens; events without a listener cost nothing. Returns how to stop it.
   * @param types requested event types; null: all
   */
  listen(
    listener: (event: EngineEvent) => void,
    types: ReadonlySet<EngineEventType> | null = null,
  ): () => void {
    return this.#events.listen(listener, types);
  }

  /**
   * Starts a sequence; its consumer is given the rows that it wants, in one of the next steps.
   * @throws LastrowError `kv_memory_exhausted` when `rowsNeeded` rows do not fit into the cache even alone
   */
  start(tokens: readonly number[], consumer: LogitsConsumer, options: NewSequence): ScheduledSequence {
    const { salt, tenant = "", wantedAs, rowsNeeded = tokens.length } = options;
    this.capacity.expect(rowsNeeded);
    const table = this.kvCache.createSequence(salt);
    table.append(tokens);
    const arrival = this.#scheduler.nextArrival();
    const sequence = new ScheduledSequence({ arrival, tenant, wantedAs }, table, consumer);
    if (options.logitsFrom !== undefined) sequence.logitsFrom = options.logitsFrom;
    this.#scheduler.await(sequence);
    return sequence;
  }

  /**
   * Adds tokens to a sequence and asks for logits: of the last row, or of all rows from `logitsFrom` on, which must be
   * rows that are not in the cache.
   * @throws LastrowError `kv_memory_exhausted`, and nothing has changed
   */
  extend(sequence: ScheduledSequence, tokens: readonly number[], logitsFrom?: number): void {
    sequence.expectAlive();
    this.capacity.expect(sequence.tokens.length + tokens.length);
    // What was kept for guesses that might have been wrong is not needed any more.
    this.kvCache.releaseUnseen(sequence.table);
    sequence.table.append(tokens);
    sequence.logitsFrom = logitsFrom ?? sequence.tokens.length - 1;
    sequence.guessedFrom = Number.POSITIVE_INFINITY;
    this.#scheduler.await(sequence);
  }

  /**
   * What is asked of an idle sequence next comes behind all that was asked before: however old a sequence is that is held
   * between requests, each of them waits like any other. Of one that is waited for nothing changes.
   */
  arriveAnew(sequence: ScheduledSequence): void {
    if (!sequence.isAwaited) this.#scheduler.arriveAnew(sequence);
  }

  /** Takes an extension back: nothing waits for the sequence any more, and behind `keep` tokens it has those that it had. */
  withdraw(sequence: ScheduledSequence, keep: number, tokens: readonly number[]): void {
    sequence.expectAlive();
    this.#scheduler.leave(sequence);
    this.#scheduler.cut(sequence, keep);
    sequence.table.append(tokens);
  }

  /**
   * As `extend`, with guesses of what follows the token. Its consumer is given the logits of the token and of as many of
   * the guesses as a step has room for, all at once; the other guesses are forgotten, so that nothing more is computed
   * before the consumer has said how it goes on.
   * @throws LastrowError `kv_memory_exhausted`, and nothing has changed
   */
  speculate(sequence: ScheduledSequence, token: number, guesses: readonly number[]): void {
    const { length } = sequence.tokens;
    this.extend(sequence, [token, ...guesses], length);
    sequence.guessedFrom = length + 1;
  }

  /** Forgets a sequence's tokens from `length` on, and their rows. */
  cut(sequence: ScheduledSequence, length: number): void {
    sequence.expectAlive();
    this.#scheduler.cut(sequence, length);
  }

  /** Forgets a sequence's rows, not its tokens: they are computed again. */
  forgetRows(sequence: ScheduledSequence): void {
    sequence.expectAlive();
    this.kvCache.clear(sequence.table);
  }

  /** Whether all kept rows of a sequence are there to be read; if not, they are computed and its consumer is told. */
  expectRows(sequence: ScheduledSequence): boolean {
    sequence.expectAlive();
    const { length } = sequence.tokens;
    if (sequence.table.length === length) {
      if (this.kvCache.hasAllKept(sequence.table)) return true;
      this.#scheduler.loseRows(sequence);
    }
    const last = sequence.tokens[length - 1];
    this.cut(sequence, length - 1);
    this.extend(sequence, [last]);
    return false;
  }

  /** A sequence with the tokens of another one, whose blocks it shares. It is idle until it is extended. */
  fork(sequence: ScheduledSequence, consumer: LogitsConsumer): ScheduledSequence {
    sequence.expectAlive();
    const table = this.kvCache.fork(sequence.table);
    const forked = new ScheduledSequence(sequence, table, consumer);
    forked.numCachedTokens = sequence.numCachedTokens;
    forked.numPromptTokens = sequence.numPromptTokens;
    forked.tierWait = sequence.tierWait;
    forked.lastStep = sequence.lastStep;
    if (table.length > 0) this.#scheduler.addResident(forked);
    return forked;
  }

  /** Ends a sequence in any state: its blocks are given back, its consumer is not called again. */
  end(sequence: ScheduledSequence): void {
    if (sequence.hasEnded) return;
    sequence.hasEnded = true;
    sequence.isAwaited = false;
    this.#scheduler.remove(sequence);
  }

  /**
   * One forward pass over the new rows of all sequences that a consumer waits for.
   * @returns whether there was anything to do
   * @throws what the kernels throw (`thread_lost`), or an error that is a bug: the core is then of no use any more
   */
  step(): boolean {
    const start = performance.now();
    const rows = this.#scheduler.plan();
    if (rows.length === 0) {
      this.#failStuck();
      return false;
    }
    const numRows = rows.reduce((sum, { count }) => sum + count, 0);
    this.#begin(rows.length, numRows);
    const planned = performance.now();
    const logits = this.#runner.run(rows);
    const computed = performance.now();
    const forwardMs = computed - planned;
    const deliveries = this.#commit(rows, logits, forwardMs);
    const committed = performance.now();
    if (rows.every(({ sequence, count, wanted }) => sequence.wantedAs === "logits" && count === wanted)) {
      this.stepCosts.observe(rows.length, numRows, committed - start);
    }
    for (const deliver of deliveries) deliver();
    const end = performance.now();
    this.#counters.add({
      scheduleMs: planned - start + (committed - computed),
      forwardMs,
      sampleMs: end - committed,
    });
    this.tier?.afterStep(numRows, forwardMs, end - start);
    return true;
  }

  /** Ends its threads; nothing of it is of use any more. */
  dispose(): Promise<void> {
    return this.kernels.dispose();
  }

  /** A forward pass is to begin. */
  #begin(sequences: number, rows: number): void {
    this.#counters.begin(sequences);
    if (!this.#events.isHeard) return;
    this.#events.tell({ type: "step", step: this.#counters.steps, rows, sequences });
  }

  /**
   * Declares all rows written, and returns what is left to do: give what is wanted to the consumers that wait for it.
   * @param logits for each of `rows` what was computed of those that are wanted
   */
  #commit(rows: readonly ScheduledRows[], logits: readonly StepLogits[], forwardMs: number): (() => void)[] {
    const deliveries: (() => void)[] = [];
    for (const [i, { sequence, count, wanted }] of rows.entries()) {
      const computed = logits[i];
      const { table } = sequence;
      sequence.rowsComputed += count;
      sequence.computeMs += forwardMs;
      sequence.lastStep = this.#counters.steps;
      const numUnsound = wanted - computed.count;
      const position = computed.firstPosition + computed.count;
      if (numUnsound > 0 && position < sequence.guessedFrom) {
        deliveries.push(() => this.#fail(sequence, overflowAt(position, sequence.wantedAs)));
        continue;
      }
      // A guess may be wrong, and then its NaN does not count: as if the step had had no room for it.
      this.#scheduler.commit(sequence, count - numUnsound);
      this.kvCache.releaseUnseen(table, Math.min(table.length, sequence.guessedFrom));
      if (wanted === 0) continue;
      // Rows whose logits were given are not given again when they are computed again, after a preemption.
      sequence.logitsFrom = table.length;
      if (table.length >= sequence.guessedFrom) table.forget(table.length);
      if (sequence.numPending === 0) sequence.isAwaited = false;
      deliveries.push(() => this.#deliver(sequence, computed));
    }
    return deliveries;
  }

  #deliver(sequence: ScheduledSequence, logits: StepLogits): void {
    if (sequence.hasEnded) return;
    try {
      sequence.consumer.take(logits);
    } catch (error) {
      this.#fail(sequence, error);
    }
  }

  /** Nothing can be planned though a sequence waits: what waits longest cannot be served. */
  #failStuck(): void {
    const { waiting, resident, isStalled } = this.#scheduler;
    if (isStalled) return;
    const stuck = resident.find(({ isAwaited }) => isAwaited) ?? waiting[0];
    if (stuck === undefined) return;
    const { pool } = this.kvCache;
    this.#fail(
      stuck,
      new LastrowError(
        "kv_memory_exhausted",
        `No room for ${stuck.tokens.length} rows of keys and values: ${pool.numFree} of ${pool.numBlocks} KV blocks are free, and nothing can give way; give more KV memory.`,
      ),
    );
  }

  #fail(sequence: ScheduledSequence, error: unknown): void {
    if (sequence.hasEnded) return;
    this.end(sequence);
    sequence.consumer.fail(error);
  }
}

function overflowAt(position: number, wantedAs: WantedAs): LastrowError {
  const what = wantedAs === "hidden" ? "hidden row" : "logits";
  const holds = wantedAs === "hidden" ? "holds" : "hold";
  return new LastrowError(
    "numerical_error",
    `The ${what} at position ${position} ${holds} a NaN: the model's numbers overflow on this input.`,
  );
}
