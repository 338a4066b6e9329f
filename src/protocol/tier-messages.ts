/**
 * What an engine and a KV tier say to each other: plain data, over a port of their own. The engine never waits for an answer:
 * whatever does not come in time is computed. Nothing is taken back and nothing fails: the worst answer is a shorter prefix.
 */
import type { KvDtype } from "../kernels/kv-types.js";
import type { PackedDtype } from "../kernels/weight-types.js";

/**
 * What K and V of a block depend on besides its tokens, the tokens before it and the salt: two engines may share blocks
 * where all of this is equal.
 */
export interface TierIdentity {
  /** Of the model's files, as saved sequences know it. */
  readonly fingerprint: string;
  /** Types of the matrices, as saved sequences have them, in the order of their names. */
  readonly dtypes: readonly PackedDtype[];
  readonly kvDtype: KvDtype;
  /** Which of its tables of rotary frequencies the model is loaded with; null where it has one. */
  readonly rotaryTable: "short" | "long" | null;
  /** Which numerics are in use, by name and version: docs/numerics.md. */
  readonly numerics: string;
  /** Positions of a block. */
  readonly blockSize: number;
  /** Bytes of a block, the same of each group. */
  readonly blockBytes: number;
  /** Groups of layers, in order: a record is a block of one group. */
  readonly groups: readonly { readonly window: number | null; readonly layers: readonly number[] }[];
  /**
   * SHA-256, as hexadecimal digits, of the logits and of the K and V of a fixed input, as this engine computed them when it was
   * loaded: a build that computes other bits has another identity, whatever its version says.
   */
  readonly probe: string;
}

/** What an engine asks of its tier. */
export type TierAsk =
  /**
   * Blocks `from … to − 1` of the prefix that `tokens` are. Answered by `block` for each that is there and verified, then by
   * `loaded`; answers that come later than `deadlineMs` after it was asked are of no use.
   * @property id positive, and no other's of this port
   * @property salt the tenant's: only blocks that were stored with the same one are found
   * @property tokens 16 · `to` ids
   * @property localFrom by group: the engine has blocks `localFrom[group] … from − 1`, and perhaps not those before
   */
  | {
      readonly type: "load";
      readonly id: number;
      readonly salt: string;
      readonly tokens: Int32Array<ArrayBuffer>;
      readonly from: number;
      readonly to: number;
      readonly localFrom: readonly number[];
      readonly deadlineMs: number;
    }
  /** What a load would still bring is of no use any more. It need not be answered. */
  | { readonly type: "cancel"; readonly id: number }
  /**
   * Copies of full blocks of the prefix that `tokens` are. Answered by `stored` alone, which gives the memory back.
   * @property blocks `index` is the number of the block in the prefix; each has its bytes in a buffer of its own
   */
  | {
      readonly type: "store";
      readonly salt: string;
      readonly tokens: Int32Array<ArrayBuffer>;
      readonly blocks: readonly TierBlock[];
    };

/** A block of a prefix, of one group of layers. */
export interface TierBlock {
  /** Number of its group, in the order of `TierIdentity.groups`. */
  readonly group: number;
  /** Its number in the prefix: it holds positions 16 · `index` and the next 15. */
  readonly index: number;
  /** `TierIdentity.blockBytes` bytes, as they lie in the engine's memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a tier says to its engine. */
export type TierAnswer =
  /** A block that was authenticated, and compared with what was asked; of any group, in any order. */
  | (TierBlock & { readonly type: "block"; readonly id: number })
  /**
   * The last answer to a load.
   * @property length blocks from the prefix's beginning up to where all is there that a row behind them sees: `from` or more
   */
  | { readonly type: "loaded"; readonly id: number; readonly length: number }
  /** Memory of a `store`, whatever became of the blocks. */
  | { readonly type: "stored"; readonly buffers: readonly ArrayBuffer[] }
  /**
   * Sent first of all, and whenever it changes.
   * @property takesLoads whether a load may bring anything now
   * @property takesStores whether blocks are taken now
   * @property bytesPerMs what was measured of loads; null: not known yet
   * @property roundTripMs the same of the time to the first answer
   */
  | {
      readonly type: "state";
      readonly takesLoads: boolean;
      readonly takesStores: boolean;
      readonly bytesPerMs: number | null;
      readonly roundTripMs: number | null;
    };
