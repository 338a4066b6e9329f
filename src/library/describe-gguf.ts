/** What GGUF files say of their model: all of it is in the metadata of the first, and in the list of tensors. */
import type { WantedContext } from "../architectures/architecture.js";
import {
  expectGgufArchitecture,
  type FetchedGgufArchitecture,
  fetchGgufArchitecture,
  ggufRotaryTensors,
  readGgufConfig,
} from "../architectures/gguf/read-gguf-config.js";
import { MAX_FACTORS, type RotaryFactors } from "../architectures/gguf/rotary-keys.js";
import { matchTensors } from "../architectures/match-tensors.js";
import { ggufChatTemplate } from "../chat/gguf-chat-template.js";
import { modelFileInvalid, modelUnsupported } from "../errors.js";
import { type GenerationDefaults, generationDefaults } from "../formats/generation-config.js";
import { ggufEmbeddingSettings } from "../formats/gguf/gguf-embedding.js";
import type { GgufMetadata } from "../formats/gguf/gguf-metadata.js";
import { metadataEntries } from "../formats/gguf/metadata-entries.js";
import { type GgufFile, openGguf } from "../formats/gguf/open-gguf.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { quoteValue } from "../quote-value.js";
import { ggufTokenizerFiles, NO_GGUF_TOKENIZER } from "../tokenizer/gguf-tokenizer.js";
import { tokenizerOf } from "../tokenizer/make-tokenizer.js";
import type { DescribedModel } from "./described-model.js";
import type { ModelFingerprint } from "./model-fingerprint.js";

/**
 * @param names the files, in the order of their shards
 * @param fingerprint takes what tells this model from others; null: the model is looked at, not loaded, and nothing but
 *   headers is read
 * @throws LastrowError as the readers of the files
 */
export async function describeGguf(
  files: ModelFiles,
  names: readonly string[],
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  // One of the first keys: the family's code arrives while the vocabulary does.
  const gguf = await openGguf(files, names, (key, text) => {
    if (key === "general.architecture") expectGgufArchitecture(text);
  });
  try {
    const { metadata } = gguf;
    const header = { metadata, tensors: shapesOf(gguf) };
    const architecture = await fetchGgufArchitecture(metadata);
    const factors =
      fingerprint === null ? null : await readFactors(architecture, { files, names, gguf, fingerprint });
    fingerprint?.metadata(gguf.metadataDigest);
    const { config, family } = readGgufConfig(architecture, header, factors, wanted);
    const { vocabSize } = config;
    const tokenizer = fingerprint === null ? NO_GGUF_TOKENIZER : ggufTokenizerFiles(metadata);
    const ends = tokenizer.eosTokenIds.filter((id) => id < vocabSize);
    return {
      ...{ config, family },
      notices: [...(files.notices ?? []), ...(tokenizer.notice === null ? [] : [tokenizer.notice])],
      metadata: metadataEntries(metadata),
      defaults: { ...readDefaults(metadata, vocabSize), ...(ends.length > 0 && { eosTokenIds: ends }) },
      async tokenizer() {
        const { files } = fingerprint === null ? ggufTokenizerFiles(metadata) : tokenizer;
        return files && tokenizerOf(files, vocabSize);
      },
      chatTemplate: async () => ggufChatTemplate(metadata),
      embedding: async () => ggufEmbeddingSettings(metadata),
      weights: () => Promise.resolve(matchTensors(gguf, family, config.decoder)),
      close: () => gguf.close(),
    };
  } catch (error) {
    await gguf.close();
    throw error;
  }
}

function shapesOf({ tensors }: GgufFile) {
  return new Map([...tensors].map(([name, { entry }]) => [name, entry]));
}

/**
 * The factors of the rotation that are tensors. They must be known before the first weight is read, wherever they lie, and a
 * download is read forwards: so their file is opened once more.
 */
async function readFactors(
  architecture: FetchedGgufArchitecture,
  of: {
    readonly files: ModelFiles;
    readonly names: readonly string[];
    readonly gguf: GgufFile;
    readonly fingerprint: ModelFingerprint;
  },
): Promise<RotaryFactors> {
  const { files, names, gguf, fingerprint } = of;
  const factors = { all: null, short: null, long: null };
  const read: [string, readonly number[]][] = [];
  for (const [kind, name] of ggufRotaryTensors(architecture, shapesOf(gguf))) {
    const { entry, file } = gguf.tensors.get(name)!;
    if (entry.dtype !== "F32") {
      throw modelUnsupported(
        `${file.name}: tensor "${name}" is ${entry.dtype}; factors of frequencies are read as F32.`,
      );
    }
    if (entry.shape.length !== 1 || entry.shape[0]! > MAX_FACTORS) {
      throw modelFileInvalid(
        `${file.name}: tensor "${name}" has shape ${quoteValue(entry.shape)}, but must have a factor for each pair of values of a head.`,
      );
    }
    const bytes = new Uint8Array(entry.end - entry.begin);
    const opened = await openAgain(files, names[gguf.files.indexOf(file)]!, file);
    try {
      await opened.read(entry.begin, bytes);
    } finally {
      await opened.close();
    }
    fingerprint.include(name, bytes);
    const view = new DataView(bytes.buffer);
    read.push([kind, Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true))]);
  }
  return { ...factors, ...Object.fromEntries(read) };
}

async function openAgain(files: ModelFiles, name: string, first: ModelFile): Promise<ModelFile> {
  const file = await files.open(name);
  if (file?.size === first.size) return file;
  await file?.close();
  throw modelFileInvalid(`${first.name} was changed or removed while it was read.`);
}

/** Samplers' settings that the file recommends → what `generation_config.json` calls them. */
const SAMPLING = {
  temp: "temperature",
  top_k: "top_k",
  top_p: "top_p",
  min_p: "min_p",
  penalty_repeat: "repetition_penalty",
} as const;

function readDefaults(metadata: GgufMetadata, vocabSize: number): GenerationDefaults {
  const keys = new Map(Object.entries(SAMPLING).map(([key, field]) => [field, `general.sampling.${key}`]));
  const stated = [...keys].map(([field, key]) => [
    field,
    field === "top_k" ? metadata.wholeNumber(key, { from: 0, to: 2 ** 31 - 1 }) : metadata.float(key),
  ]);
  return generationDefaults(
    Object.fromEntries(stated),
    metadata.fileName,
    vocabSize,
    (field) => keys.get(field as (typeof SAMPLING)[keyof typeof SAMPLING]) ?? field,
  );
}
