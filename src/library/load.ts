/** From a model's files to a model that runs. */

import { platform } from "#platform";
import type { MatchedCheckpoint } from "../architectures/match-tensors.js";
import { EngineClient } from "../client/engine-client.js";
import type { SequenceStorage } from "../client/sequence-storage.js";
import { aborted, LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import type { GenerationDefaults } from "../formats/generation-config.js";
import { withRate } from "../formats/load-progress.js";
import type { ModelFile } from "../formats/model-files.js";
import type { KvDtype } from "../kernels/kv-types.js";
import { PACKED_DTYPES, type PackedDtype, WEIGHT_TYPES } from "../kernels/weight-types.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import { kvShapeOf, widestRow } from "../model/decoder-spec.js";
import type { ModelSource } from "../platform/platform.js";
import type { EngineInfo } from "../protocol/engine-setup.js";
import type { EngineConnection } from "../protocol/messages.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { describeModel } from "./describe-model.js";
import { type DescribedModel, filesOfWeights } from "./described-model.js";
import { LanguageModel, type LanguageModelParts } from "./language-model.js";
import { checkedSettings, type LoadOptions, type LoadSettings } from "./load-options.js";
import { ModelFingerprint } from "./model-fingerprint.js";
import { planDownload } from "./plan-load.js";
import type { ConnectedTier } from "./tier-connection.js";

/**
 * Loads a model: its weights are read once, straight to where they are used.
 *
 * @param source see `ModelSource`; in Node the embedded model by default
 * @returns a model to `dispose`, or to hold with `await using`
 * @throws LastrowError with a sentence that names the file and what was expected: `model_not_found`, `model_file_invalid`,
 *   `model_unsupported`, `weights_not_finite`, `tokenizer_invalid`; `memory_limit_exceeded`; of the Hub `hub_unreachable`,
 *   `hub_not_found`, `hub_integrity`; `runtime_unsupported`, `invalid_argument`, `aborted`
 */
export async function load(source?: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  return new LanguageModel(await loadParts(source, options, () => connect(options.worker)));
}

/**
 * Everything that a `LanguageModel` is made of; `load` without the wrapping.
 * @param connectEngine starts what runs the model
 */
export async function loadParts(
  source: ModelSource | undefined,
  options: LoadOptions,
  connectEngine: () => Promise<EngineConnection>,
): Promise<LanguageModelParts> {
  const start = performance.now();
  const { wanted, settings } = checkedSettings(source, options);
  if (options.tier !== undefined && !platform.hasKvTiers) {
    throw new LastrowError("runtime_unsupported", "A page has no KV tier: load the model without tier.");
  }
  const onProgress = options.onProgress && withRate(options.onProgress);
  throwIfAborted(options.signal);
  const files = await platform.openModel(source, {
    onProgress,
    signal: options.signal,
    // What is not supported, or cannot fit, is not worth its download.
    async beforeWeights(fetched) {
      await planDownload(fetched, wanted, settings);
    },
  });
  const fingerprint = new ModelFingerprint();
  // Starts while the files are read; its failure is reported where it is awaited.
  const connecting = connectEngine();
  connecting.then(
    (connection) => expectUses(connection, settings),
    () => undefined,
  );
  let described: DescribedModel | null = null;
  let engine: EngineClient | null = null;
  let connected: ConnectedTier = { connection: null, notices: [] };
  try {
    described = await describeModel(files, wanted, fingerprint);
    const { defaults, notices, metadata } = described;
    const tokenizer = await described.tokenizer();
    const chatTemplate = await described.chatTemplate();
    const embedding = await described.embedding();
    const matched = await described.weights();
    const { tensors, files: weightFiles } = numberedFiles(matched);
    fingerprint.expect(tensors, described.family);
    engine = new EngineClient(await connecting);
    const { label } = files;
    const info = await engine.load(
      {
        label,
        decoder: matched.decoder,
        widestRow: widestRow(tensors.flatMap(({ rows }) => rows)),
        ...settings,
        tensors,
        files: weightFiles.map(({ name, size }) => ({ name, size })),
      },
      weightFiles,
      {
        onProgress,
        signal: options.signal,
        onRead: (file, offset, bytes) => fingerprint.add(file, offset, bytes),
      },
    );
    throwIfAborted(options.signal);
    const config = modelConfig(
      { ...matched.decoder, contextLength: info.contextLength },
      { ...described.config, eosTokenIds: defaults.eosTokenIds ?? described.config.eosTokenIds },
    );
    const storage = storageOf(fingerprint, { ...config, ...info, kvDtype: info.kv.dtype }, options);
    const { tier } = options;
    if (tier !== undefined) {
      const { connectTier } = await fetchedCode(import("./tier-connection.js"));
      const model = { engine, info, decoder: config.decoder, identity: await storage.identity() };
      connected = await connectTier(tier, model, platform.sha256);
      throwIfAborted(options.signal);
    }
    return {
      engine,
      startLimitedThread: (work) => platform.startLimitedThread(work),
      tokenizer,
      chatTemplate,
      defaults,
      bosTokenId: startToken(config, defaults, tokenizer),
      eosTokenIds: config.eosTokenIds,
      info: {
        label,
        config,
        ...info,
        parameters: matched.parameters,
        files: filesOfWeights(matched),
        tensors: [...matched.tensors]
          .map(
            ([
              name,
              {
                entry: { dtype, shape, begin, end },
              },
            ]) => ({ name, dtype, shape, bytes: end - begin }),
          )
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
        metadata,
        embedding,
        notices: [...notices, ...info.notices, ...connected.notices],
        worker: engine.isWorker,
      },
      loadMs: performance.now() - start,
      storage,
      tier: connected.connection,
    };
  } catch (error) {
    await connected.connection?.close();
    if (engine !== null) await engine.dispose("The model");
    else {
      await connecting.then(
        (connection) => connection.close(),
        () => undefined,
      );
    }
    throw error;
  } finally {
    await described?.close();
  }
}

/** Has the engine fetch what it will compute with, as far as the options say, while the files are read. */
function expectUses(connection: EngineConnection, { kernels, dtype, kvDtype }: LoadSettings): void {
  if (kernels !== "wasm") return;
  connection.post({
    type: "expect",
    uses: { dtypes: dtype === "auto" ? [] : [dtype], kvDtypes: [kvDtype] },
  });
}

/** Starts a worker for the engine, or has it run here where that is not possible and not demanded. */
async function connect(worker: boolean | undefined): Promise<EngineConnection> {
  if (worker !== false) {
    try {
      return await platform.startEngineWorker();
    } catch (cause) {
      if (worker === true) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new LastrowError(
          "runtime_unsupported",
          `No worker can be started for the engine (${reason}); with worker: false it runs on the caller's thread.`,
          { cause },
        );
      }
    }
  }
  // Loaded lazily: unused with a worker.
  const { startInProcess } = await fetchedCode(import("../engine/in-process.js"));
  return startInProcess().connection;
}

/** How sequences of this model are saved and restored. */
function storageOf(
  fingerprint: ModelFingerprint,
  model: ModelConfig & Pick<EngineInfo, "matrixBytes" | "roundedTensors"> & { readonly kvDtype: KvDtype },
  { installationKey }: LoadOptions,
): SequenceStorage {
  const { kvDtype, rotaryTable, decoder } = model;
  let key: Promise<Uint8Array | null> | null = null;
  return {
    identity: async () => ({
      fingerprint: await fingerprint.value(),
      earlierFingerprints: await fingerprint.earlier(),
      dtypes: computedTypes(model),
      kvDtype,
      rotaryTable,
    }),
    kv: { dtype: kvDtype, ...kvShapeOf(decoder) },
    installationKey: () => {
      key ??= installationKey === undefined ? platform.installationKey() : Promise.resolve(installationKey);
      return key;
    },
    spareMemory: [],
    replaceFile: (path, pieces) => platform.replaceFile(path, pieces),
  };
}

/** Types of the matrices, as `SequenceIdentity` has them. */
function computedTypes({
  matrixBytes,
  roundedTensors,
}: Pick<EngineInfo, "matrixBytes" | "roundedTensors">): readonly PackedDtype[] {
  const types = PACKED_DTYPES.filter((dtype) => matrixBytes[dtype] !== undefined).map((dtype) => {
    // Weights of floats that are none but the stored values give what f32 gives.
    const isFloat = WEIGHT_TYPES[dtype].activationMax === null;
    return isFloat && roundedTensors === 0 ? "f32" : dtype;
  });
  return [...new Set(types)].sort();
}

/** The tensors with numbers in place of their files, and the files. */
function numberedFiles({ tensors }: MatchedCheckpoint) {
  const files: readonly ModelFile[] = [...new Set([...tensors.values()].map(({ file }) => file))];
  const described = [...tensors].map(([name, tensor]) => ({
    ...tensor,
    name,
    file: files.indexOf(tensor.file),
  }));
  return { tensors: described, files };
}

function startToken(
  config: ModelConfig,
  defaults: GenerationDefaults,
  tokenizer: Tokenizer | null,
): number | null {
  return tokenizer?.bosTokenId ?? defaults.bosTokenId ?? config.bosTokenId;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted("Loading was cancelled.", signal);
}
