/**
 * The engine, synchronous: each `step` plans, runs one forward pass over the new rows of all sequences, and hands the
 * logits to the consumers that asked for them. Owns the model, its kernels, the KV cache and the scheduler; knows nothing
 * of text, sampling or promises. What a consumer does with its logits (go on, fork, cut back, end) it does through the
 * methods here.
 */
import { LastrowError } from "../errors.js";
import type { Kernels, Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { RowRange } from "../kernels/kv-rows.js";
import { blocksFor, rowsThatFit } from "../kv-cache/block-needs.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { Decoder } from "../model/decoder.js";
import type { WantedAs } from "../model/forward-batch.js";
import type { EngineEvent, EngineEventType, EngineStats } from "../protocol/engine-stats.js";
import { blockCounts } from "./block-counts.js";
import { EngineEvents } from "./engine-events.js";
import { EngineTier, type EngineTierOptions } from "./engine-tier.js";
import { type LogitsConsumer, ScheduledSequence, type StepLogits } from "./scheduled-sequence.js";
import { type ScheduledRows, Scheduler } from "./scheduler.js";
import { type GivenRows, readBlocks, writeBlocks } from "./sequence-rows.js";
import { MeasuredStepCosts, type StepCosts } from "./step-costs.js";
import { StepCounters } from "./step-counters.js";

/** What runs the model. One owner: the language model. */
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

/** What a new sequence shares, and with which others. */
export interface NewSequence {
  /** Sequences share K and V with those of the same salt; null: with none. */
  readonly salt: string | null;
  /** Tenants share each step and the KV cache evenly, whatever each asks for. Default: the one without a name. */
  readonly tenant?: string | undefined;
  /** Rows from this position on are wanted; default: the last one. */
  readonly logitsFrom?: number;
  /** Default: as logits. */
  readonly wantedAs?: WantedAs;
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
  readonly #scheduler: Scheduler;
  readonly #sequences = new Set<ScheduledSequence>();
  readonly #events: EngineEvents;
  readonly #counters = new StepCounters();
  /** Of the model's logits, and of their maxima, by row: these lie in the same place in each step. */
  readonly #logitsViews: Float32Array[] = [];
  readonly #maximaViews: Float32Array[] = [];
  /** Null: there is none. */
  #tier: EngineTier | null = null;
  #lastArrival = 0;
  #preemptions = 0;

  constructor(parts: EngineParts) {
    const { model, kernels, kvCache, maxSequences, tokenBudget = model.maxRows } = parts;
    this.stepCosts = parts.stepCosts ?? new MeasuredStepCosts();
    this.model = model;
    this.kernels = kernels;
    this.kvCache = kvCache;
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
  }

  /** Whether a consumer waits for logits, and not only for what the KV tier loads. */
  get hasWork(): boolean {
    return this.#scheduler.hasWork;
  }

  /** Its KV tier, or null. */
  get tier(): EngineTier | null {
    return this.#tier;
  }

  /** From now on a KV tier is asked for rows that are missing, and offered those that are computed. */
  connectTier(options: EngineTierOptions): EngineTier {
    const tier = new EngineTier(this.kvCache, this.kernels, options);
    this.#tier = tier;
    this.#scheduler.tier = tier;
    return tier;
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

  /** Rows that fit into the KV cache when nothing else is in it. */
  get capacity(): number {
    const { groups, numBlocks } = this.kvCache.layout;
    return rowsThatFit(groups, numBlocks, this.contextLength);
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
        idle: this.#sequences.size - running - waiting.length,
        preemptions: this.#preemptions,
      },
      tier: this.#tier?.stats ?? null,
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
      waiting.length > 0 ||
      resident.some(({ isAwaited, tokens, table }) => isAwaited && tokens.length - table.length > BLOCK_SIZE)
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
  start(
    tokens: readonly number[],
    consumer: LogitsConsumer,
    options: NewSequence & { readonly rowsNeeded?: number },
  ): ScheduledSequence {
    this.expectCapacity(options.rowsNeeded ?? tokens.length);
    this.#lastArrival += 1;
    const table = this.kvCache.createSequence(options.salt);
    table.append(tokens);
    const { tenant = "", wantedAs } = options;
    const sequence = new ScheduledSequence({ arrival: this.#lastArrival, tenant, wantedAs }, table, consumer);
    if (options.logitsFrom !== undefined) sequence.logitsFrom = options.logitsFrom;
    this.#sequences.add(sequence);
    this.#scheduler.await(sequence);
    return sequence;
  }

  /**
   * Starts a sequence whose rows are given, not computed: first those that are known already, then what is written into
   * the blocks that it gets. No consumer waits for it until it is extended, and nothing of it counts before it is committed;
   * like any idle sequence it may lose its blocks meanwhile. It gets empty blocks only: while it is not certain
   * that what comes is sound, no sequence gives way.
   * @param tokens all that it will have, the last of which is to be computed
   * @param knownSalt blocks that are known under this salt are taken; the sequence itself has another one, or none
   * @throws LastrowError `kv_memory_exhausted` when they do not fit into the cache even alone
   */
  restore(
    tokens: readonly number[],
    consumer: LogitsConsumer,
    options: Pick<NewSequence, "salt" | "tenant"> & { readonly knownSalt: string | null },
  ): ScheduledSequence {
    const { salt, knownSalt, tenant = "" } = options;
    this.expectCapacity(tokens.length);
    const { kvCache } = this;
    const table = kvCache.createSequence(salt);
    const maxBlocks = Math.floor((tokens.length - 1) / BLOCK_SIZE);
    const known = kvCache.findPrefix(knownSalt, tokens, maxBlocks);
    table.append(tokens.slice(0, known.length));
    kvCache.attach(table, known);
    this.#lastArrival += 1;
    const sequence = new ScheduledSequence({ arrival: this.#lastArrival, tenant }, table, consumer);
    sequence.numCachedTokens = table.length;
    sequence.lastStep = this.#counters.steps;
    this.#sequences.add(sequence);
    this.#scheduler.addResident(sequence);
    if (kvCache.numEmpty >= kvCache.blocksForGiven(table, tokens.length)) {
      kvCache.reserveGiven(table, tokens.length);
    }
    return sequence;
  }

  /**
   * Makes room for `rows` more rows of such a sequence, or for as many as there can be: idle others lose
   * theirs.
   */
  makeRoom(sequence: ScheduledSequence, rows: number): void {
    this.#expectAlive(sequence);
    const { length } = sequence.table;
    if (length !== sequence.tokens.length) return;
    if (this.#scheduler.reserveGiven(sequence, length + rows + 1)) return;
    // Of a window, rows are given from what is kept of all: fewer would be of no use.
    if (this.kvCache.layout.groups.some(({ window }) => window !== null)) return;
    for (let fewer = rows; fewer > 0; fewer = Math.ceil(fewer / BLOCK_SIZE - 1) * BLOCK_SIZE) {
      if (this.#scheduler.reserve(sequence, fewer)) return;
    }
  }

  /** Writes rows into the blocks that are reserved for them; those of blocks that have been lost meanwhile are left out. */
  placeRows(sequence: ScheduledSequence, given: GivenRows): void {
    this.#expectAlive(sequence);
    const { table } = sequence;
    writeBlocks(this.#rowSpace, given, (group, index) => {
      const { first, ids } = table.runs[group];
      return index * BLOCK_SIZE >= table.length ? (ids[index - first] ?? null) : null;
    });
  }

  /** Copies of rows of a sequence, all of which are in the cache (`expectRows`); in `memory` if it is large enough. */
  readRows({ table }: ScheduledSequence, range: RowRange, memory: ArrayBuffer): Uint8Array<ArrayBuffer> {
    return readBlocks(this.#rowSpace, table, range, memory);
  }

  /** Declares rows of such a sequence written: those of `tokens`, all behind the ones that it had. */
  commitRows(sequence: ScheduledSequence, tokens: readonly number[]): void {
    this.#expectAlive(sequence);
    const { table } = sequence;
    if (table.length !== sequence.tokens.length) {
      // Lost meanwhile: what is computed instead is counted when it is.
      sequence.numCachedTokens = null;
      return;
    }
    const written = tokens.slice(0, table.capacity - table.length);
    table.append(written);
    const { numPublished } = table;
    this.kvCache.commit(table, written.length);
    sequence.numPromptTokens = table.length;
    this.#tier?.computed(sequence, numPublished, table.numPublished);
    if (table.givenLength > 0) {
      // Not all has been given: what is there has nothing to go on from.
      this.#loseRows(sequence);
    }
    this.kvCache.releaseUnseen(table);
    sequence.numCachedTokens = table.length;
  }

  /** Whether all kept rows of a sequence are there to be read; if not, they are computed and its consumer is told. */
  expectRows(sequence: ScheduledSequence): boolean {
    this.#expectAlive(sequence);
    const { length } = sequence.tokens;
    if (sequence.table.length === length) {
      if (this.kvCache.hasAllKept(sequence.table)) return true;
      this.#loseRows(sequence);
    }
    const last = sequence.tokens[length - 1];
    this.cut(sequence, length - 1);
    this.extend(sequence, [last]);
    return false;
  }

  /**
   * Adds tokens to a sequence and asks for logits: of the last row, or of all rows from `logitsFrom` on, which must be
   * rows that are not in the cache.
   * @throws LastrowError `kv_memory_exhausted`, and nothing has changed
   */
  extend(sequence: ScheduledSequence, tokens: readonly number[], logitsFrom?: number): void {
    this.#expectAlive(sequence);
    this.expectCapacity(sequence.tokens.length + tokens.length);
    // What was kept for guesses that might have been wrong is not needed any more.
    this.kvCache.releaseUnseen(sequence.table);
    sequence.table.append(tokens);
    sequence.logitsFrom = logitsFrom ?? sequence.tokens.length - 1;
    sequence.guessedFrom = Number.POSITIVE_INFINITY;
    this.#scheduler.await(sequence);
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
    this.#expectAlive(sequence);
    const { table } = sequence;
    // Blocks that are reserved behind its rows stay its own.
    if (length >= table.length) table.forget(length);
    else if (!this.kvCache.truncate(table, length)) this.#scheduler.resumeLater(sequence);
  }

  /** Forgets a sequence's rows, not its tokens: they are computed again. */
  forgetRows(sequence: ScheduledSequence): void {
    this.#expectAlive(sequence);
    this.kvCache.clear(sequence.table);
  }

  #loseRows(sequence: ScheduledSequence): void {
    this.kvCache.clear(sequence.table);
    this.#scheduler.resumeLater(sequence);
  }

  /** A sequence with the tokens of another one, whose blocks it shares. It is idle until it is extended. */
  fork(sequence: ScheduledSequence, consumer: LogitsConsumer): ScheduledSequence {
    this.#expectAlive(sequence);
    const table = this.kvCache.fork(sequence.table);
    const forked = new ScheduledSequence(sequence, table, consumer);
    forked.numCachedTokens = sequence.numCachedTokens;
    forked.numPromptTokens = sequence.numPromptTokens;
    forked.tierWait = sequence.tierWait;
    forked.lastStep = sequence.lastStep;
    this.#sequences.add(forked);
    if (table.length > 0) this.#scheduler.addResident(forked);
    return forked;
  }

  /** Ends a sequence in any state: its blocks are given back, its consumer is not called again. */
  end(sequence: ScheduledSequence): void {
    if (sequence.hasEnded) return;
    sequence.hasEnded = true;
    sequence.isAwaited = false;
    this.#sequences.delete(sequence);
    this.#scheduler.remove(sequence);
    this.kvCache.free(sequence.table);
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
    this.#counters.steps += 1;
    const planned = performance.now();
    this.#counters.scheduleMs += planned - start;
    const logits = this.#forward(rows);
    const computed = performance.now();
    const forwardMs = computed - planned;
    this.#counters.forwardMs += forwardMs;
    const delivered = this.#commit(rows, logits, forwardMs);
    const committed = performance.now();
    this.#counters.scheduleMs += committed - computed;
    if (rows.every(({ sequence, count, wanted }) => sequence.wantedAs === "logits" && count === wanted)) {
      this.stepCosts.observe(rows.length, logits.rows, committed - start);
    }
    for (const deliver of delivered) deliver();
    const end = performance.now();
    this.#counters.sampleMs += end - committed;
    this.#tier?.afterStep(this.model.batch.numRows, forwardMs, end - start);
    return true;
  }

  /** Ends its threads; nothing of it is of use any more. */
  dispose(): Promise<void> {
    return this.kernels.dispose();
  }

  /** @throws LastrowError `kv_memory_exhausted` when so many rows do not fit even alone */
  expectCapacity(rows: number): void {
    if (rows <= this.capacity) return;
    const { pool, layout } = this.kvCache;
    const needed = blocksFor(layout.groups, rows, 1);
    throw new LastrowError(
      "kv_memory_exhausted",
      `${rows} rows of keys and values need ${needed} KV blocks, and there are ${pool.numBlocks}; give more KV memory (kvMemory: ${needed * layout.blockBytes} bytes or more), or ask for fewer tokens.`,
    );
  }

  get #rowSpace() {
    return { kernels: this.kernels, kv: this.kvCache.layout, model: this.model };
  }

  #forward(rows: readonly ScheduledRows[]): Tensor {
    const { batch } = this.model;
    batch.clear();
    for (const { sequence, count, wanted } of rows) {
      const { table, tokens } = sequence;
      const { wantedAs } = sequence;
      batch.add({ tokens, from: table.length, count, runs: table.runs, wanted, wantedAs });
    }
    this.#counters.begin(rows.length);
    if (this.#events.isHeard) {
      this.#events.tell({
        type: "step",
        step: this.#counters.steps,
        rows: batch.numRows,
        sequences: rows.length,
      });
    }
    return this.model.forward(this.kvCache.layout, true);
  }

  /** Declares all rows written, and returns what is left to do: give what is wanted to the consumers that wait for it. */
  #commit(rows: readonly ScheduledRows[], logits: Tensor, forwardMs: number): (() => void)[] {
    const { maxima } = this.model; // (N, ⌈V / STRETCH⌉)
    const deliveries: (() => void)[] = [];
    let firstRow = 0;
    for (const { sequence, count, wanted } of rows) {
      const isHidden = sequence.wantedAs === "hidden";
      const row = isHidden ? this.#hiddenFrom(firstRow) : this.#rowsFrom(logits, firstRow, this.#logitsViews);
      const computed = {
        firstPosition: sequence.table.length + count - wanted,
        count: wanted,
        row,
        maxima: isHidden ? row : this.#rowsFrom(maxima, firstRow, this.#maximaViews),
      };
      firstRow += wanted;
      sequence.rowsComputed += count;
      sequence.computeMs += forwardMs;
      sequence.lastStep = this.#counters.steps;
      const numSound = rowsBeforeNaN(computed);
      const position = computed.firstPosition + numSound;
      if (numSound < wanted && position < sequence.guessedFrom) {
        const what = isHidden ? "hidden row" : "logits";
        const message = `The ${what} at position ${position} hold${isHidden ? "s" : ""} a NaN: the model's numbers overflow on this input.`;
        deliveries.push(() => this.#fail(sequence, new LastrowError("numerical_error", message)));
        continue;
      }
      // A guess may be wrong, and then its NaN does not count: as if the step had had no room for it.
      computed.count = numSound;
      const { table } = sequence;
      const { numPublished } = table;
      this.kvCache.commit(table, count - (wanted - numSound));
      this.#tier?.computed(sequence, numPublished, table.numPublished);
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

  /** Views of a tensor's rows, counted from one of them. @param views of rows from 0 on, as far as they are made */
  #rowsFrom(
    { offset, stride, cols }: Tensor,
    first: number,
    views: Float32Array[],
  ): (i: number) => Float32Array {
    return (i) => {
      const row = first + i;
      views[row] ??= this.kernels.f32(offset + 4 * row * stride, cols);
      return views[row];
    };
  }

  /** Views of the hidden rows, counted from one of the wanted rows. */
  #hiddenFrom(first: number): (i: number) => Float32Array {
    return (i) => {
      const { offset, cols } = this.model.hiddenRow(first + i);
      return this.kernels.f32(offset, cols);
    };
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

  #expectAlive(sequence: ScheduledSequence): void {
    if (sequence.hasEnded) throw new Error("this sequence has ended");
  }
}

function rowsBeforeNaN({ count, maxima }: StepLogits): number {
  for (let i = 0; i < count; i++) if (hasNaN(maxima(i))) return i;
  return count;
}

function hasNaN(values: Float32Array): boolean {
  // Every comparison with a NaN fails. A loop: a callback for each value takes ten times as long.
  for (let i = 0; i < values.length; i++) if (!(values[i] <= Number.POSITIVE_INFINITY)) return true;
  return false;
}
