/**
 * How much an engine takes, planned before any of its memory exists: so a model that cannot fit is refused while nothing
 * of its weights has been read, and, from the Hub, before they are downloaded.
 */

import { LastrowError } from "../errors.js";
import { type KernelBackend, MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, kvBlockBytes, kvLayout } from "../kernels/kv-layout.js";
import { ALIGNMENT, MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-kernels.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import { formatMemorySize } from "../memory-size.js";
import { type DecoderScratch, planScratch } from "../model/decoder-scratch.js";
import { type DecoderSpec, kvShapeOf } from "../model/decoder-spec.js";
import { type PlannedWeights, planWeights } from "../model/decoder-weights.js";
import { planStaging, type Staging } from "../model/load-weights.js";
import type { Threads } from "../platform/threads.js";
import type { EngineShape, KvBound } from "../protocol/engine-setup.js";
import { chooseKvBlocks, DEFAULT_CONTEXTS } from "./kv-memory.js";

/** Where everything will lie. Sizes in bytes. */
export interface EnginePlan {
  readonly backend: KernelBackend;
  readonly weights: PlannedWeights;
  readonly weightBytes: number;
  readonly kv: KvLayout;
  readonly kvBytes: number;
  /** What kept the KV cache from having more blocks. */
  readonly kvBound: KvBound;
  readonly scratch: DecoderScratch;
  readonly staging: Staging;
  /** Bytes in all. */
  readonly bytes: number;
}

const MAX_THREADS = 64;
/** Rows that one forward pass takes, of all sequences together, by default. */
const DEFAULT_TOKEN_BUDGET = 512;
/** Most sequences in one forward pass. */
export const MAX_SEQUENCES = 64;
/** Most rows of logits that one forward pass gives, and most bytes of them: a row of 50,257 takes 200 kB. */
const MAX_LOGITS_ROWS = MAX_SEQUENCES;
const MAX_LOGITS_BYTES = 16 * 1024 * 1024;

/** What an engine needs to know of the machine that it runs on. */
export type EngineThreads = Pick<
  Threads,
  "availableThreads" | "canShareMemory" | "memoryBytes" | "startHelper"
>;

/**
 * Plans an engine.
 * @param threads of which `startHelper` is not called here
 * @throws LastrowError `memory_limit_exceeded`; `invalid_argument` for KV memory without room for a block
 */
export function planEngine(shape: EngineShape, threads: EngineThreads): EnginePlan {
  const { decoder, kvDtype } = shape;
  const backend = chooseBackend(shape, threads);
  const contextBlocks = Math.ceil(decoder.contextLength / BLOCK_SIZE);
  // Few blocks take less working memory, since a step has no more rows than there is room for.
  const most = placeAll(shape, backend, DEFAULT_CONTEXTS * contextBlocks);
  const { blocks, bound } = chooseKvBlocks({
    asked: shape.kvMemory,
    blockBytes: kvBlockBytes(kvShapeOf(decoder), kvDtype),
    contextBlocks,
    otherBytes: most.bytes - most.kvBytes + ALIGNMENT,
    machineBytes: threads.memoryBytes(),
  });
  const plan = { ...placeAll(shape, backend, blocks), kvBound: bound };
  const { weightBytes, kvBytes, bytes } = plan;
  if (bytes <= MAX_MEMORY_BYTES) return plan;
  throw new LastrowError(
    "memory_limit_exceeded",
    `${shape.label} needs ${formatMemorySize(weightBytes)} for weights, ${formatMemorySize(kvBytes)} for keys and values and ${formatMemorySize(bytes - weightBytes - kvBytes)} to work in; WebAssembly's memory ends at ${formatMemorySize(MAX_MEMORY_BYTES)}.`,
  );
}

/** Where everything lies with so many KV blocks, whether it fits or not. */
function placeAll(
  shape: EngineShape,
  backend: KernelBackend,
  numBlocks: number,
): Omit<EnginePlan, "kvBound"> {
  const { decoder, dtype, kvDtype } = shape;
  const plan = new MemoryPlan(backend, dtype);
  const bytesBefore = plan.bytes;
  const weights = planWeights(plan, decoder);
  const weightBytes = plan.bytes - bytesBefore;
  const kvShape = kvShapeOf(decoder);
  const kv = kvLayout(kvShape, kvDtype, plan.reserve(numBlocks * kvBlockBytes(kvShape, kvDtype)), numBlocks);
  const kvBytes = kv.numBlocks * kv.blockBytes;
  const scratch = planScratch(plan, decoder, {
    maxRows: Math.min(shape.tokenBudget ?? DEFAULT_TOKEN_BUDGET, numBlocks * BLOCK_SIZE),
    maxLogitsRows: logitsRows(decoder),
    maxSequences: MAX_SEQUENCES,
  });
  const staging = planStaging(plan, shape.widestRow);
  return { backend, weights, weightBytes, kv, kvBytes, scratch, staging, bytes: plan.bytes };
}

/**
 * Refuses what can be seen not to fit when only the config is known: with the least that it takes, so that nothing is
 * refused that would fit after all.
 * @throws LastrowError as `planEngine`
 */
export function expectToFit(shape: EngineShape): void {
  planEngine(shape, {
    availableThreads: () => 1,
    canShareMemory: () => false,
    memoryBytes: () => Number.POSITIVE_INFINITY,
    startHelper: () => Promise.reject(new Error("a plan starts no threads")),
  });
}

function chooseBackend(
  { kernels, threads }: EngineShape,
  { availableThreads, canShareMemory, startHelper }: EngineThreads,
): KernelBackend {
  if (kernels === "reference") return referenceBackend;
  // A number that was asked for counts, also where it is more than the cores.
  const chosen = canShareMemory() ? (threads ?? availableThreads()) : 1;
  return wasmBackend({ threads: Math.min(chosen, MAX_THREADS), startHelper });
}

function logitsRows({ vocabSize }: DecoderSpec): number {
  return Math.max(1, Math.min(MAX_LOGITS_ROWS, Math.floor(MAX_LOGITS_BYTES / (4 * vocabSize))));
}
