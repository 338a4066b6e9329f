/**
 * How much an engine takes, planned before any of its memory exists: so a model that cannot fit is refused while nothing
 * of its weights has been read, and, from the Hub, before they are downloaded.
 */

import { LastrowError } from "../errors.js";
import { type KernelBackend, MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, kvBlockBytes, kvLayout, layerGroups } from "../kernels/kv-layout.js";
import { ALIGNMENT, MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-backend.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import { PACKED_DTYPES, type PackedDtype } from "../kernels/weight-types.js";
import { formatMemorySize } from "../memory-size.js";
import { type DecoderScratch, planScratch } from "../model/decoder-scratch.js";
import { type DecoderSpec, kvShapeOf } from "../model/decoder-spec.js";
import { type PlannedWeights, planWeights } from "../model/decoder-weights.js";
import { planStaging, type Staging } from "../model/load-weights.js";
import { chooseDtypes } from "../model/weight-dtypes.js";
import type { MachineMemory, Threads } from "../platform/threads.js";
import type { ContextBound, EngineInfo, EngineShape, KvBound } from "../protocol/engine-setup.js";
import { chooseMemory, contextBlocksOf, DEFAULT_CONTEXTS, leastBlocks, tokensIn } from "./kv-memory.js";

/** Where everything will lie. Sizes in bytes. */
export interface EnginePlan {
  /** Of the context that it is loaded with. */
  readonly decoder: DecoderSpec;
  readonly contextLength: number;
  readonly contextBound: ContextBound;
  readonly backend: KernelBackend;
  readonly weights: PlannedWeights;
  readonly weightBytes: number;
  readonly kv: KvLayout;
  readonly kvBytes: number;
  /** Tokens that it has room for, in sequences of a full context. */
  readonly kvTokens: number;
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
  "availableThreads" | "canShareMemory" | "memory" | "startHelper" | "wideVectors"
>;

/**
 * Plans an engine. The decoder's context is shortened where it was not asked for and memory does not allow it.
 * @param threads of which `startHelper` is not called here
 * @throws LastrowError `memory_limit_exceeded`; `invalid_argument` for KV memory without room for a block
 */
export function planEngine(shape: EngineShape, threads: EngineThreads): EnginePlan {
  const backend = chooseBackend(shape, threads);
  const machine = threads.memory();
  const plan = planOn(shape, backend, machine);
  if (plan.lack === null) return plan;
  throw new LastrowError("memory_limit_exceeded", refusal(shape, plan, backend, machine));
}

/** A plan, and whose memory it goes beyond, if any. */
type CheckedPlan = EnginePlan & { readonly lack: "wasm" | "machine" | null };

function planOn(shape: EngineShape, backend: KernelBackend, machine: MachineMemory): CheckedPlan {
  const { decoder, isContextAsked: isAsked, kvDtype } = shape;
  const { contextLength } = decoder;
  const kvShape = kvShapeOf(decoder);
  const blockBytes = kvBlockBytes(kvShape, kvDtype);
  const use = { groups: layerGroups(kvShape), tokenBudget: shape.tokenBudget ?? DEFAULT_TOKEN_BUDGET };
  const { blocks, kvBound, ...context } = chooseMemory({
    contextLength,
    isAsked,
    askedKvBytes: shape.kvMemory,
    blockBytes,
    ...use,
    otherBytes(contextLength) {
      // Few blocks take less working memory, since a step has no more rows than there is room for.
      const blocks = DEFAULT_CONTEXTS * contextBlocksOf(use, contextLength);
      const most = placeAll(withContext(shape, contextLength), backend, blocks);
      return most.bytes - most.kvBytes + ALIGNMENT;
    },
    machine,
  });
  const plan = placeAll(withContext(shape, context.contextLength), backend, blocks);
  const leastKvBytes = Math.min(plan.kvBytes, leastBlocks({ contextLength, isAsked, ...use }) * blockBytes);
  const leastBytes = plan.bytes - plan.kvBytes + leastKvBytes;
  const lack = plan.bytes > MAX_MEMORY_BYTES ? "wasm" : leastBytes > machine.totalBytes ? "machine" : null;
  const kvTokens = tokensIn(use, blocks, context.contextLength);
  return { ...plan, ...context, kvBound, kvTokens, lack };
}

function withContext(shape: EngineShape, contextLength: number): EngineShape {
  return { ...shape, decoder: { ...shape.decoder, contextLength } };
}

/** What is needed, what there is, and what would help. */
function refusal(
  shape: EngineShape,
  plan: CheckedPlan,
  backend: KernelBackend,
  machine: MachineMemory,
): string {
  const { weightBytes, kvTokens, kvBytes, bytes, lack } = plan;
  const limit =
    lack === "wasm"
      ? `WebAssembly's memory ends at ${formatMemorySize(MAX_MEMORY_BYTES)}`
      : `this machine has ${formatMemorySize(machine.totalBytes)}`;
  const fits = (change: Partial<EngineShape>): CheckedPlan | null => {
    const changed = planOn({ ...shape, ...change }, backend, machine);
    return changed.lack === null ? changed : null;
  };
  const advice: string[] = [];
  const shorter = shape.isContextAsked ? fits({ isContextAsked: false }) : null;
  if (shorter !== null) advice.push(`contextLength ${shorter.contextLength}`);
  const lessKv = shape.kvMemory === null ? null : fits({ kvMemory: null });
  if (lessKv !== null) advice.push(`kvMemory ${Math.floor(lessKv.kvBytes / 2 ** 20)}MiB`);
  const smallerKv = (["f16", "int8"] as const).find((smaller) => fits({ kvDtype: smaller }) !== null);
  if (smallerKv !== undefined) advice.push(`kvDtype ${smallerKv}`);
  // What is stored in 16 bits stays so: the bits of f32. What it is stored in shows with its tensors.
  if (shape.tensors !== null && fits({ dtype: "auto" }) !== null) advice.push("dtype auto");
  if (fits({ dtype: "int8" }) !== null) advice.push("dtype int8");
  else if (fits({ dtype: "int4" }) !== null) advice.push("dtype int4");
  for (const least of ["int8", "int4"] as const) {
    if (advice.length === 0 && fits({ dtype: least, kvDtype: "int8" }) !== null) {
      advice.push(`dtype ${least} and kvDtype int8`);
    }
  }
  const help = advice.length === 0 ? "It takes a smaller model" : `It fits with ${advice.join(", or with ")}`;
  return `${shape.label} needs ${formatMemorySize(weightBytes)} for weights, ${formatMemorySize(kvBytes)} for keys and values of ${kvTokens} tokens and ${formatMemorySize(bytes - weightBytes - kvBytes)} to work in, ${formatMemorySize(bytes)} in all; ${limit}. ${help}.`;
}

/** Where everything lies with so many KV blocks, whether it fits or not. */
function placeAll(
  shape: EngineShape,
  backend: KernelBackend,
  numBlocks: number,
): Omit<EnginePlan, "kvBound" | "kvTokens" | "contextBound"> {
  const { decoder, dtype, tensors, kvDtype } = shape;
  const { contextLength } = decoder;
  const plan = new MemoryPlan(backend);
  const bytesBefore = plan.bytes;
  const weights = planWeights(plan, decoder, chooseDtypes(dtype, tensors));
  const weightBytes = plan.bytes - bytesBefore;
  const kvShape = kvShapeOf(decoder);
  const kv = kvLayout(kvShape, kvDtype, plan.reserve(numBlocks * kvBlockBytes(kvShape, kvDtype)), numBlocks);
  const kvBytes = kv.numBlocks * kv.blockBytes;
  // What is written at once takes a block of each group.
  const roomFor = Math.floor(numBlocks / kv.groups.length);
  const scratch = planScratch(plan, decoder, {
    maxRows: Math.min(shape.tokenBudget ?? DEFAULT_TOKEN_BUDGET, roomFor * BLOCK_SIZE),
    maxLogitsRows: logitsRows(decoder),
    maxSequences: MAX_SEQUENCES,
  });
  const staging = planStaging(plan, shape.widestRow, tensors ?? [], weights.places);
  const placed = { backend, weights, weightBytes, kv, kvBytes, scratch, staging, bytes: plan.bytes };
  return { decoder, contextLength, ...placed };
}

/** Bytes of the matrices by type, and the type of most weights: the same for all kernels, whatever these take. */
export function matricesOf({
  weights,
  backend,
}: Pick<EnginePlan, "weights" | "backend">): Pick<EngineInfo, "dtype" | "matrixBytes"> {
  const matrixBytes: Partial<Record<PackedDtype, number>> = {};
  const weightsOf: Partial<Record<PackedDtype, number>> = {};
  for (const place of weights.places.values()) {
    if (place.kind !== "linear") continue;
    for (const { weight } of place.parts) {
      const { inFeatures, outFeatures, dtype } = weight;
      matrixBytes[dtype] = (matrixBytes[dtype] ?? 0) + backend.packedBytes(inFeatures, outFeatures, dtype);
      weightsOf[dtype] = (weightsOf[dtype] ?? 0) + inFeatures * outFeatures;
    }
  }
  const count = (dtype: PackedDtype) => weightsOf[dtype] ?? 0;
  const dtype = PACKED_DTYPES.reduce((most, other) => (count(other) > count(most) ? other : most));
  return { dtype, matrixBytes };
}

function chooseBackend(
  { kernels, threads, vectors }: EngineShape,
  { availableThreads, canShareMemory, startHelper, wideVectors }: EngineThreads,
): KernelBackend {
  if (kernels === "reference") return referenceBackend;
  // A number that was asked for counts, also where it is more than the cores.
  const chosen = canShareMemory() ? (threads ?? availableThreads()) : 1;
  const wide = vectors === "tested" || vectors === 256 ? wideVectors(vectors === "tested") : "";
  const whileWide = typeof wide === "string" ? undefined : wide;
  return wasmBackend({ threads: Math.min(chosen, MAX_THREADS), startHelper, whileWide });
}

function logitsRows({ vocabSize }: DecoderSpec): number {
  return Math.max(1, Math.min(MAX_LOGITS_ROWS, Math.floor(MAX_LOGITS_BYTES / (4 * vocabSize))));
}
