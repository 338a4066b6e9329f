/**
 * What happens in the KV cache, as it happens: one stream that metrics, tests and displays read. Nothing is built when
 * there is no listener.
 */

/** Sequences are named by the numbers that their tables have, blocks by their ids. */
export type KvEvent =
  /** A block was taken for new rows of a sequence. */
  | { readonly type: "allocated"; readonly block: number; readonly sequence: number }
  /** Rows `from … to − 1` of a sequence were written. */
  | { readonly type: "written"; readonly sequence: number; readonly from: number; readonly to: number }
  /** A full block can be found by others from now on. */
  | {
      readonly type: "published";
      readonly block: number;
      readonly sequence: number;
      /** Id of the prefix that ends with this block, and of the one before it (0: none). */
      readonly prefix: number;
      readonly parent: number;
    }
  /** A sequence took a block that was computed before. */
  | { readonly type: "hit"; readonly block: number; readonly sequence: number }
  /** A sequence shares a block with the one that it was forked from. */
  | { readonly type: "shared"; readonly block: number; readonly sequence: number }
  /** A block was copied before it was written, since it was not this sequence's alone. */
  | { readonly type: "copied"; readonly from: number; readonly to: number; readonly sequence: number }
  /** A sequence let go of a block; `references` are left. */
  | {
      readonly type: "released";
      readonly block: number;
      readonly sequence: number;
      readonly references: number;
    }
  /** A block can no longer be found: its space is needed. */
  | { readonly type: "evicted"; readonly block: number };

export type KvListener = (event: KvEvent) => void;
