/**
 * What happens in the KV cache, as it happens: one stream that metrics, tests and displays read. Nothing is built when
 * there is no listener.
 */

/**
 * Sequences are named by the numbers that their tables have, blocks by their ids. An adoption, which holds blocks for a sequence
 * that waits, has a number like a sequence. A sequence has a run of blocks for each
 * group of layers (one, where all layers see equally far): block `index` of a group holds positions 16 · index and the next 15.
 */
export type KvEvent =
  /** A block was taken for new rows of a sequence: for new positions, or in the place of one that it then lets go of. */
  | (PlacedBlock & { readonly type: "allocated" })
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
  /** The contents of a full block came from a KV tier: an adoption holds it, and it can be found by others from now on. */
  | (PlacedBlock & {
      readonly type: "loaded";
      /** As of `published`. */
      readonly prefix: number;
      readonly parent: number;
    })
  /** A sequence took a block that was computed before: for a prefix, or in the place of its own, which it then lets go of. */
  | (PlacedBlock & { readonly type: "hit" })
  /** A sequence shares a block with the one that it was forked from. */
  | (PlacedBlock & { readonly type: "shared" })
  /** A block was copied before it was written, since it was not this sequence's alone. */
  | { readonly type: "copied"; readonly from: number; readonly to: number; readonly sequence: number }
  /** A sequence let go of a block; `references` are left. */
  | (PlacedBlock & { readonly type: "released"; readonly references: number })
  /** A block can no longer be found: its space is needed. */
  | { readonly type: "evicted"; readonly block: number };

/** A block, and where its sequence has it. */
export interface PlacedBlock {
  readonly block: number;
  readonly sequence: number;
  readonly group: number;
  readonly index: number;
}

export type KvListener = (event: KvEvent) => void;
