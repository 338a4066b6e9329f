/**
 * A sequence as the engine sees it: the table of its tokens and of those of their rows that are in the KV cache, and the
 * consumer of its logits. Changed by EngineCore and its scheduler only.
 */

import type { BlockTable } from "../kv-cache/block-table.js";
import type { WantedAs } from "../model/forward-batch.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { TierWait } from "../protocol/generation-outcome.js";

/**
 * Where a sequence is in its scheduler; changed there only. `waiting` for its admission, `resident` from then on, or
 * from when it got blocks in another way; `away` otherwise. Only a resident one holds blocks.
 */
export type SequencePlace = "away" | "waiting" | "resident";

/** They, in the step that has computed them. */
export interface StepLogits extends ComputedLogits {
  /**
   * (⌈V / STRETCH⌉) `Kernels.stretchMaxima` of row `i`: a view that the next step overwrites. Of a hidden row all of it.
   */
  maxima(i: number): Float32Array;
}

/** Receives a sequence's logits, or its hidden rows (C). Called from inside a step. */
export interface LogitsConsumer {
  /** Rows that were wanted, in order of position; perhaps not all of them yet. */
  take(logits: StepLogits): void;
  /** The sequence has ended: it cannot be computed. */
  fail(error: unknown): void;
}

export class ScheduledSequence {
  /**
   * The lowest is served first, and preempted last. Forks share their origin's number: see `comesBefore`. Changed by
   * `SequencePlaces.arriveAnew` only.
   */
  arrival: number;
  /** The tenant; tenants share steps and memory evenly. */
  readonly tenant: string;
  readonly table: BlockTable;
  /** As what its consumer wants its rows. Hidden ones take no part in the room for logits. */
  readonly wantedAs: WantedAs;
  /** The consumer that asked last. */
  consumer: LogitsConsumer;
  /** Rows from this position on are wanted, and have not been given out yet. */
  logitsFrom: number;
  /** Tokens from this position on are guesses: those that a step has no room for are forgotten. */
  guessedFrom = Number.POSITIVE_INFINITY;
  /** Whether a consumer waits for rows that are not computed. */
  isAwaited = false;
  place: SequencePlace = "away";
  hasEnded = false;
  /** Step in which a row of it was last computed. */
  lastStep = 0;
  /** Rows that were taken from the prefix index when it was first admitted; null before. */
  numCachedTokens: number | null = null;
  /** Rows that went through the model for it, counted where they entered. */
  rowsComputed = 0;
  /** Milliseconds of the forward passes that it took part in. */
  computeMs = 0;
  numPreemptions = 0;
  /** Tokens from the front that were given, not generated. */
  numPromptTokens: number;
  /** Whether a KV tier was asked for its rows since it began to wait. */
  hasAskedTier = false;
  /** What a tier was waited for before it was first admitted, by the engine's clock; null: it was not asked. */
  tierWait: { readonly begun: number; ms: number; tokens: number } | null = null;

  constructor(
    {
      arrival,
      tenant,
      wantedAs = "logits",
    }: { readonly arrival: number; readonly tenant: string; readonly wantedAs?: WantedAs | undefined },
    table: BlockTable,
    consumer: LogitsConsumer,
  ) {
    this.arrival = arrival;
    this.tenant = tenant;
    this.wantedAs = wantedAs;
    this.table = table;
    this.logitsFrom = table.tokens.length - 1;
    this.numPromptTokens = table.tokens.length;
    this.consumer = consumer;
  }

  /** @throws Error when it has ended: a bug in the caller */
  expectAlive(): void {
    if (this.hasEnded) throw new Error("this sequence has ended");
  }

  /** All tokens, computed or not: the table's. */
  get tokens(): readonly number[] {
    return this.table.tokens;
  }

  /** Rows that are not in the cache. */
  get numPending(): number {
    return this.tokens.length - this.table.length;
  }

  /** Rows that become logits and are still to come. */
  get numLogitsPending(): number {
    if (this.wantedAs === "hidden") return 0;
    return this.tokens.length - Math.max(this.table.length, this.logitsFrom);
  }

  /** Only rows whose logits are wanted are missing, and few of them. */
  get isDecoding(): boolean {
    const { numPending } = this;
    return this.numLogitsPending === numPending && numPending <= MAX_DECODED_ROWS;
  }
}

/** Whether a sequence is served before another one and preempted after it: it arrived first, or is the earlier one of two forks. */
export function comesBefore(a: ScheduledSequence, b: ScheduledSequence): boolean {
  return a.arrival === b.arrival ? a.table.sequence < b.table.sequence : a.arrival < b.arrival;
}

/** Those of some resident sequences that are waited for, by tenant, each in their order. */
export function runningByTenant(resident: readonly ScheduledSequence[]): Map<string, ScheduledSequence[]> {
  const running = new Map<string, ScheduledSequence[]>();
  for (const sequence of resident) {
    if (!sequence.isAwaited) continue;
    const own = running.get(sequence.tenant);
    if (own === undefined) running.set(sequence.tenant, [sequence]);
    else own.push(sequence);
  }
  return running;
}

/** What a tier was waited for, from the beginning of what asked for the sequence. */
export function tierWaitSince(
  start: number,
  { tierWait }: Pick<ScheduledSequence, "tierWait">,
): TierWait | null {
  if (tierWait === null) return null;
  const { begun, ms, tokens } = tierWait;
  return { tokens, fromMs: Math.max(0, begun - start), ms };
}

/** A sequence that misses more rows than this is served like a prompt. */
const MAX_DECODED_ROWS = 16;

/** Whether two lists have the same first `length` tokens. */
export function beginAlike(a: ArrayLike<number>, b: ArrayLike<number>, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}
