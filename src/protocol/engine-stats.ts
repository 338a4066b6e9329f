/** What the engine tells of itself: events as they happen, counters when they are asked for. Plain data. */
import type { KvEvent } from "../kv-cache/kv-events.js";

/** What happens in the engine: the KV cache's events, steps and preemptions. */
export type EngineEvent =
  | KvEvent
  /** A sequence lost its blocks to others; it resumes later. */
  | { readonly type: "preempted"; readonly sequence: number }
  /** A forward pass of `rows` rows, of so many sequences. */
  | { readonly type: "step"; readonly step: number; readonly rows: number; readonly sequences: number };

/** What can be listened to. */
export type EngineEventType = EngineEvent["type"];

/** All of it; that none is missing is the compiler's to see. */
const TYPES: Record<EngineEventType, true> = {
  allocated: true,
  written: true,
  published: true,
  loaded: true,
  hit: true,
  shared: true,
  copied: true,
  released: true,
  evicted: true,
  preempted: true,
  step: true,
};
export const EVENT_TYPES: ReadonlySet<unknown> = new Set(Object.keys(TYPES));

/** Counters since the model was loaded, and the state now. */
export interface EngineStats {
  /** KV blocks; the three after the first sum up to it. */
  readonly blocks: {
    readonly total: number;
    /** Held by a sequence. */
    readonly referenced: number;
    /** Held by none, but still findable. */
    readonly cached: number;
    /** Held by none and empty. */
    readonly free: number;
    /** Those that are held, by how far the layers see whose rows they hold; null: everything. */
    readonly kinds: readonly { readonly window: number | null; readonly referenced: number }[];
  };
  /** Of the prompts that may share K and V, since the model was loaded. */
  readonly prefixCache: {
    /** Tokens that were looked up, and those of them whose rows were there. */
    readonly tokensQueried: number;
    readonly tokensHit: number;
  };
  /** Sequences of generations, and sequences held by hand. */
  readonly sequences: {
    readonly running: number;
    readonly waiting: number;
    /** Held by hand, with nothing to compute. */
    readonly idle: number;
    /** Times that a sequence lost its blocks. */
    readonly preemptions: number;
  };
  /** What was asked of the KV tier, and offered to it; null: there is none. */
  readonly tier: {
    /** Loads that were begun, each for one sequence. */
    readonly loads: number;
    /** Sequences that waited for the load of another. */
    readonly joined: number;
    /** Times that computing was expected to be faster. */
    readonly declined: number;
    /** Loads that were given up, since they took too long. */
    readonly deadlines: number;
    /** Blocks that came and were taken. */
    readonly blocksLoaded: number;
    /** Tokens of prompts that were asked for. */
    readonly tokensAsked: number;
    /** Tokens of prompts whose rows were there when a load had ended, and not when it began. */
    readonly tokensLoaded: number;
    /** Blocks that were offered. */
    readonly stores: number;
    /** Blocks' positions in prompts that were not offered, since too many waited. */
    readonly droppedStores: number;
  } | null;
  /** Forward passes. */
  readonly steps: number;
  /** Rows that went through the model. */
  readonly rows: number;
  /**
   * Those of them whose logits were wanted: only they went through the last layer's queries, attention and MLP, and
   * through `lm_head`.
   */
  readonly logitsRows: number;
  /** Multiply-adds of matrix products and attention, counted where the kernels are called. */
  readonly multiplyAdds: number;
  /** Sequences of all steps, summed: divided by `steps`, the mean batch size. */
  readonly batchedSequences: number;
  /** Sequences of the largest step. */
  readonly largestBatch: number;
  /** Milliseconds of planning and KV bookkeeping. */
  readonly scheduleMs: number;
  /** Milliseconds of forward passes. */
  readonly forwardMs: number;
  /** Milliseconds of choosing tokens. */
  readonly sampleMs: number;
}
