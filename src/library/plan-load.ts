/** What loading a model would take, planned from its files before a weight is read. */

import { platform } from "#platform";
import type { WantedContext } from "../architectures/architecture.js";
import type { FoundTemplate } from "../chat/chat-template.js";
import { fetchedCode } from "../fetched-code.js";
import type { EmbeddingSettings } from "../formats/embedding-types.js";
import { withRate } from "../formats/load-progress.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { ModelConfig } from "../model/config.js";
import { widestRow } from "../model/decoder-spec.js";
import type { ModelSource } from "../platform/platform.js";
import type { ContextBound } from "../protocol/engine-setup.js";
import { describeModel } from "./describe-model.js";
import { type DescribedModel, filesOfWeights } from "./described-model.js";
import { checkedSettings, type LoadOptions, type LoadSettings } from "./load-options.js";
import type { ModelInfo } from "./model-info.js";

/** What a model is, and what `load` with the same options would take. Sizes in bytes. */
export interface LoadPlan {
  /** As `ModelInfo.label`. */
  readonly label: string;
  /** Its architecture, with the context that it was made for or that was asked for. */
  readonly config: ModelConfig;
  /** Number of weights; null where their files are not there yet. */
  readonly parameters: number | null;
  /** The files that hold the weights; null where they are not there yet. */
  readonly files: ModelInfo["files"] | null;
  /** As `ModelInfo.dtype`; what is likely where the files are not there yet. */
  readonly dtype: ModelInfo["dtype"];
  /** Most positions that a sequence would have. */
  readonly contextLength: number;
  /** What decides it. */
  readonly contextBound: ContextBound;
  /** Bytes of the weights; the least that they can take where their files are not there yet. */
  readonly weightBytes: number;
  /** Bytes for K and V. */
  readonly kvBytes: number;
  /** All of it: weights, K and V, working memory. */
  readonly memoryBytes: number;
}

/**
 * Plans a load without one: reads a model's config, or a GGUF file's header, and the headers of its weights, and no weight.
 * What would be refused is refused. Of a Hub name that is not in the cache, in Node, it downloads what comes before the
 * weights.
 * @param source as of `load`
 * @param options as of `load`
 * @throws LastrowError as `load`, for what can be known before a weight is read: `model_not_found`,
 *   `model_file_invalid`, `model_unsupported`, `memory_limit_exceeded` …
 */
export async function planLoad(source?: ModelSource, options: LoadOptions = {}): Promise<LoadPlan> {
  const { wanted, settings } = checkedSettings(source, options);
  const { onProgress, signal } = options;
  const download: { plan?: LoadPlan } = {};
  try {
    const files = await platform.openModel(source, {
      onProgress: onProgress && withRate(onProgress),
      signal,
      async beforeWeights(fetched) {
        download.plan = await planDownload(fetched, wanted, settings);
        throw new Error("the weights are not wanted");
      },
    });
    return await planFiles(files, { wanted, settings, hasWeights: true });
  } catch (error) {
    if (download.plan !== undefined) return download.plan;
    throw error;
  }
}

/** A model whose files are all here, and what its load would take. */
export interface FetchedPlan {
  /** They are opened anew for each load, and nothing is downloaded for it. */
  readonly files: ModelFiles;
  readonly plan: LoadPlan;
  readonly chatTemplate: FoundTemplate;
  readonly embedding: EmbeddingSettings;
  /** Whether it can be asked for the middle of a text. */
  readonly infills: boolean;
}

/**
 * As `planLoad`, but of a Hub name all files are downloaded, weights too, unless the model cannot be used.
 * @throws LastrowError as `planLoad`
 */
export async function fetchAndPlan(
  source: ModelSource | undefined,
  options: LoadOptions,
): Promise<FetchedPlan> {
  const { wanted, settings } = checkedSettings(source, options);
  const { onProgress, signal } = options;
  const files = await platform.openModel(source, {
    onProgress: onProgress && withRate(onProgress),
    signal,
    async beforeWeights(fetched) {
      await planDownload(fetched, wanted, settings);
    },
  });
  const plan = await planFiles(files, { wanted, settings, hasWeights: true });
  const described = await describeModel(files, wanted, null);
  try {
    const [chatTemplate, embedding] = await Promise.all([described.chatTemplate(), described.embedding()]);
    return { files, plan, chatTemplate, embedding, infills: await canInfill(described) };
  } finally {
    await described.close();
  }
}

/** Why a tokenizer cannot be read is for the load to say. */
async function canInfill(described: DescribedModel): Promise<boolean> {
  const tokenizer = await described.tokenizer().catch(() => null);
  return tokenizer !== null && tokenizer.infillTokens !== null;
}

/**
 * The same of a download that has come to its weights: a GGUF file's header can be read, of a folder no file with tensors is
 * there yet.
 * @throws LastrowError for a model that is not supported, or cannot fit
 */
export function planDownload(
  files: ModelFiles,
  wanted: WantedContext,
  settings: LoadSettings,
): Promise<LoadPlan> {
  return planFiles(files, { wanted, settings, hasWeights: files.gguf !== undefined });
}

async function planFiles(
  files: ModelFiles,
  of: { readonly wanted: WantedContext; readonly settings: LoadSettings; readonly hasWeights: boolean },
): Promise<LoadPlan> {
  const { wanted, settings, hasWeights } = of;
  const described = await describeModel(files, wanted, null);
  try {
    const matched = hasWeights ? await described.weights() : null;
    const { decoder } = matched ?? described.config;
    const [{ matricesOf, planEngine }, { threads }] = await Promise.all([
      fetchedCode(import("../engine/engine-plan.js")),
      fetchedCode(import("#threads")),
    ]);
    const shape = {
      ...{ label: files.label, decoder, ...settings },
      widestRow: widestRow(described.family.tensors(decoder)),
      tensors: matched && [...matched.tensors.values()],
    };
    const plan = planEngine(shape, {
      availableThreads: threads.availableThreads,
      canShareMemory: threads.canShareMemory,
      memory: threads.memory,
      startHelper: () => Promise.reject(new Error("a plan starts no threads")),
      wideVectors: () => "a plan computes nothing",
    });
    return {
      label: files.label,
      config: described.config,
      parameters: matched?.parameters ?? null,
      files: matched && filesOfWeights(matched),
      dtype: matricesOf(plan).dtype,
      contextLength: plan.contextLength,
      contextBound: plan.contextBound,
      weightBytes: plan.weightBytes,
      kvBytes: plan.kvBytes,
      memoryBytes: plan.bytes,
    };
  } finally {
    await described.close();
  }
}
