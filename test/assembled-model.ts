/**
 * Models put together by hand, below the engine's own loading: a folder, or any `DecoderSpec`; what is looked at is at hand,
 * and threads share all work, however small.
 */
import { threads as platformThreads } from "#threads";
import { EngineCore } from "../src/engine/engine-core.js";
import type { ModelFiles } from "../src/formats/model-files.js";
import type { KernelsName } from "../src/kernels/kernels.js";
import { kvBlockBytes, kvLayout } from "../src/kernels/kv-layout.js";
import type { KvDtype } from "../src/kernels/kv-types.js";
import { MemoryPlan } from "../src/kernels/memory-plan.js";
import { referenceBackend } from "../src/kernels/reference/reference-backend.js";
import { type WasmOptions, wasmBackend } from "../src/kernels/wasm/wasm-kernels.js";
import { describeModel } from "../src/library/describe-model.js";
import { ModelFingerprint } from "../src/library/model-fingerprint.js";
import { Decoder } from "../src/model/decoder.js";
import { planScratch } from "../src/model/decoder-scratch.js";
import { type DecoderSpec, kvShapeOf, widestRow } from "../src/model/decoder-spec.js";
import { planWeights } from "../src/model/decoder-weights.js";
import { loadWeights, type MatchedTensor, planStaging } from "../src/model/load-weights.js";
import { type AskedDtype, chooseDtypes } from "../src/model/weight-dtypes.js";
import { cacheOver } from "./first-blocks.js";

/** What the kernels in WebAssembly are made of, whatever is faster. */
export type Instructions = Pick<WasmOptions, "vectors" | "dots" | "whileWide">;

export interface AssembledOptions {
  readonly kernels?: KernelsName;
  /** They share all work, however small. */
  readonly threads?: number;
  /** By default what every runtime has. */
  readonly instructions?: Instructions;
  /** By default f32. */
  readonly dtype?: AskedDtype;
  readonly kvDtype?: KvDtype;
  readonly numBlocks?: number;
  /** Most rows of logits of a pass; by default 64. */
  readonly maxLogitsRows?: number;
}

/** A model that is loaded, with what looks at its inside needs to know. To be disposed of by its kernels. */
export interface AssembledModel {
  readonly core: EngineCore;
  /** Bytes of the kernels' memory. */
  readonly memoryBytes: number;
}

/** Most rows of a pass; as many sequences as an engine has at most. */
const MAX_ROWS = 128;
const MAX_SEQUENCES = 64;

/** @param tensors of files that are open */
export async function assembleModel(
  decoder: DecoderSpec,
  tensors: readonly MatchedTensor[],
  asked: AssembledOptions = {},
): Promise<AssembledModel> {
  const { kernels = "wasm", threads = 1, dtype = "f32", kvDtype = "f32", numBlocks = 64 } = asked;
  const { maxLogitsRows = 64 } = asked;
  const { startHelper } = platformThreads;
  const backend =
    kernels === "reference"
      ? referenceBackend
      : wasmBackend({ threads, startHelper, leastWork: 1, ...asked.instructions });
  const plan = new MemoryPlan(backend);
  const { weights, places } = planWeights(plan, decoder, chooseDtypes(dtype, tensors));
  const shape = kvShapeOf(decoder);
  const kv = kvLayout(shape, kvDtype, plan.reserve(numBlocks * kvBlockBytes(shape, kvDtype)), numBlocks);
  const limits = { maxRows: MAX_ROWS, maxLogitsRows, maxSequences: MAX_SEQUENCES };
  const scratch = planScratch(plan, decoder, limits);
  const staging = planStaging(plan, widestRow(tensors.flatMap(({ rows }) => rows)), tensors, places);
  const made = await backend.create(plan.bytes);
  await loadWeights(tensors, places, made, staging);
  const core = new EngineCore({
    model: new Decoder(decoder, made, weights, scratch),
    kernels: made,
    kvCache: cacheOver(made, kv),
    maxSequences: MAX_SEQUENCES,
  });
  return { core, memoryBytes: plan.bytes };
}

/** Loads a model of files. */
export async function assembleFiles(
  files: ModelFiles,
  { contextLength, ...options }: AssembledOptions & { readonly contextLength?: number } = {},
): Promise<AssembledModel> {
  const described = await describeModel(files, { contextLength }, new ModelFingerprint());
  try {
    const { decoder, tensors } = await described.weights();
    return await assembleModel(decoder, [...tensors.values()], options);
  } finally {
    await described.close();
  }
}
