/**
 * How many KV blocks an engine has: as many as fit into the memory that was asked for, or, by default, as the
 * machine has room for. Decided from numbers alone, so the same machine chooses the same.
 */
import { LastrowError } from "../errors.js";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import type { KvBound } from "../protocol/engine-setup.js";

/** Most full contexts that the default has room for. */
export const DEFAULT_CONTEXTS = 4;
/** Most of the machine's memory that the default takes. */
const MACHINE_SHARE = 1 / 4;
/** Most of the machine's memory that the default takes for one full context, without which long prompts are refused. */
const CONTEXT_SHARE = 1 / 2;

/** What decides it. */
export interface KvNeeds {
  /** `LoadOptions.kvMemory` in bytes; null: the default. */
  readonly asked: number | null;
  /** Bytes of one block. */
  readonly blockBytes: number;
  /** Blocks of a full context. */
  readonly contextBlocks: number;
  /** Bytes of everything else that lies in the same memory: weights, working memory, staging. Used by the default only. */
  readonly otherBytes: number;
  /** Memory that the machine has, in bytes; infinity leaves it out of account. */
  readonly machineBytes: number;
}

/**
 * Blocks of the KV cache, one or more, and what kept it from having more. By default: four full contexts, but at most a
 * quarter of the machine's memory (half of it for a single full context), and at most what the other tensors leave of
 * WebAssembly's memory. What was asked for is taken whole, whether it fits or not.
 * @throws LastrowError `invalid_argument` when less than a block was asked for
 */
export function chooseKvBlocks(needs: KvNeeds): { readonly blocks: number; readonly bound: KvBound } {
  const { asked, blockBytes, contextBlocks, otherBytes, machineBytes } = needs;
  const blocksIn = (bytes: number) => Math.floor(bytes / blockBytes);
  if (asked !== null) {
    const blocks = blocksIn(asked);
    if (blocks >= 1) return { blocks, bound: "asked" };
    throw new LastrowError(
      "invalid_argument",
      `kvMemory is ${asked} bytes; one KV block of this model takes ${blockBytes}, and a full context ${contextBlocks} blocks.`,
    );
  }
  const wanted = DEFAULT_CONTEXTS * contextBlocks;
  const ofMachine = Math.max(
    blocksIn(machineBytes * MACHINE_SHARE),
    Math.min(contextBlocks, blocksIn(machineBytes * CONTEXT_SHARE)),
  );
  const ofMemory = blocksIn(MAX_MEMORY_BYTES - otherBytes);
  const blocks = Math.min(wanted, ofMachine, ofMemory);
  const bound = blocks === wanted ? "contexts" : blocks === ofMachine ? "machine" : "wasm";
  return { blocks: Math.max(1, blocks), bound };
}
