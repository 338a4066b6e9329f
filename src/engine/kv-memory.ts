/**
 * With how long a context a model is loaded, and how many KV blocks it has: as asked for, or, by default, by what the
 * machine has free beside everything else. Decided from numbers alone, so the same numbers choose the same.
 */
import { LastrowError } from "../errors.js";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { BLOCK_SIZE, type LayerGroup } from "../kernels/kv-layout.js";
import { blocksFor } from "../kv-cache/block-needs.js";
import type { MachineMemory } from "../platform/threads.js";
import type { ContextBound, KvBound } from "../protocol/engine-setup.js";

/** Most full contexts that the default has room for. */
export const DEFAULT_CONTEXTS = 4;
/** Most of what is free beside everything else that the default takes for one full context. */
const CONTEXT_SHARE = 1 / 2;
/** Most of it that the default takes for more than one. */
const CONTEXTS_SHARE = 1 / 4;
/** The default chooses no shorter context than this, of a model that was made for as much. */
export const LEAST_CONTEXT = 512;

/** What decides it. */
export interface MemoryNeeds {
  /** Positions that the model's config, or the caller, says. */
  readonly contextLength: number;
  /** Whether the caller asked for it; otherwise a shorter one may be chosen. */
  readonly isAsked: boolean;
  /** `LoadOptions.kvMemory` in bytes; null: the default. */
  readonly askedKvBytes: number | null;
  /** Bytes of one block. */
  readonly blockBytes: number;
  /** Groups of layers, each of which needs blocks of its own. */
  readonly groups: readonly LayerGroup[];
  /** Most rows of a step. */
  readonly tokenBudget: number;
  /** Bytes of everything else with a context of so many positions: weights, working memory, staging. */
  readonly otherBytes: (contextLength: number) => number;
  readonly machine: MachineMemory;
}

export interface MemoryChoice {
  readonly contextLength: number;
  /** What kept the context from being longer. */
  readonly contextBound: ContextBound;
  /** Blocks of the KV cache, one of each group or more. */
  readonly blocks: number;
  /** What kept the KV cache from having more. */
  readonly kvBound: KvBound;
}

/**
 * The context by default: the model's own, or the longest power of two below it, 512 or more, whose K and V take no more
 * than half of what is free beside everything else, no more than WebAssembly's memory leaves, and no more than was asked
 * for them. What does not fit even so is for the caller to refuse.
 *
 * The KV cache by default: four full contexts, but at most a quarter of what is free beside everything else (half of it
 * for a single full context), and at most what WebAssembly's memory leaves; in any case what 512 positions take, or the
 * context that was asked for. What was asked for is taken whole.
 *
 * @throws LastrowError `invalid_argument` when less than a block was asked for
 */
export function chooseMemory(needs: MemoryNeeds): MemoryChoice {
  const { contextLength, contextBound } = chooseContext(needs);
  const { askedKvBytes, blockBytes, groups } = needs;
  const contextBlocks = contextBlocksOf(needs, contextLength);
  if (askedKvBytes !== null) {
    const blocks = Math.floor(askedKvBytes / blockBytes);
    if (blocks >= groups.length) return { contextLength, contextBound, blocks, kvBound: "asked" };
    const least = groups.length === 1 ? "one KV block" : `${groups.length} KV blocks, the fewest that serve,`;
    throw new LastrowError(
      "invalid_argument",
      `kvMemory is ${askedKvBytes} bytes; ${least} of this model take${groups.length === 1 ? "s" : ""} ${groups.length * blockBytes}, and a full context ${contextBlocks} blocks.`,
    );
  }
  const { free, wasm } = leftBeside(needs, contextLength);
  const blocksIn = (bytes: number) => Math.floor(bytes / blockBytes);
  const ofMachine = Math.max(
    blocksIn(free * CONTEXTS_SHARE),
    Math.min(contextBlocks, blocksIn(free * CONTEXT_SHARE)),
  );
  const ofWasm = blocksIn(wasm);
  const wanted = DEFAULT_CONTEXTS * contextBlocks;
  const most = Math.min(wanted, ofMachine, ofWasm);
  const kvBound = most === wanted ? "contexts" : most === ofMachine ? "machine" : "wasm";
  return { contextLength, contextBound, blocks: Math.max(most, leastBlocks(needs)), kvBound };
}

/** Blocks without which a model is of no use: those of a context that was asked for, or of the shortest by default. */
export function leastBlocks(
  needs: Pick<MemoryNeeds, "contextLength" | "isAsked" | "groups" | "tokenBudget">,
): number {
  const { contextLength, isAsked } = needs;
  return contextBlocksOf(needs, isAsked ? contextLength : Math.min(contextLength, LEAST_CONTEXT));
}

/** Blocks of a context of so many positions: of a window those that it sees, and those of the rows of one step. */
export function contextBlocksOf(
  { groups, tokenBudget }: Pick<MemoryNeeds, "groups" | "tokenBudget">,
  contextLength: number,
): number {
  return blocksFor(groups, contextLength, Math.min(contextLength, tokenBudget));
}

/** Tokens that so many blocks have room for, in sequences of a full context. */
export function tokensIn(
  needs: Pick<MemoryNeeds, "groups" | "tokenBudget">,
  numBlocks: number,
  contextLength: number,
): number {
  const whole = Math.ceil(contextLength / BLOCK_SIZE) * BLOCK_SIZE;
  return Math.floor((numBlocks / contextBlocksOf(needs, contextLength)) * whole);
}

function chooseContext(needs: MemoryNeeds): Pick<MemoryChoice, "contextLength" | "contextBound"> {
  const { isAsked, askedKvBytes, blockBytes } = needs;
  if (isAsked) return { contextLength: needs.contextLength, contextBound: "asked" };
  let chosen: Pick<MemoryChoice, "contextLength" | "contextBound"> = {
    contextLength: needs.contextLength,
    contextBound: "model",
  };
  for (;;) {
    const { contextLength } = chosen;
    const kvBytes = contextBlocksOf(needs, contextLength) * blockBytes;
    const { free, wasm } = leftBeside(needs, contextLength);
    const bound =
      askedKvBytes !== null && kvBytes > askedKvBytes
        ? "kvMemory"
        : kvBytes > wasm
          ? "wasm"
          : askedKvBytes === null && kvBytes > free * CONTEXT_SHARE
            ? "machine"
            : null;
    const shorter = 2 ** (Math.ceil(Math.log2(contextLength)) - 1);
    if (bound === null || shorter < LEAST_CONTEXT) return chosen;
    chosen = { contextLength: shorter, contextBound: bound };
  }
}

/** What everything else leaves of what the machine has free, and of WebAssembly's memory, with such a context. */
function leftBeside({ otherBytes, machine }: MemoryNeeds, contextLength: number) {
  const other = otherBytes(contextLength);
  return { free: Math.max(0, machine.freeBytes - other), wasm: Math.max(0, MAX_MEMORY_BYTES - other) };
}
