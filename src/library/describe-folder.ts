/** What a folder of Hugging Face's says of its model: `config.json`, `tokenizer.json`, `model.safetensors` and others. */
import type { WantedContext } from "../architectures/architecture.js";
import { matchTensors } from "../architectures/match-tensors.js";
import { fetchFamily, readConfigFile } from "../architectures/read-config.js";
import { readChatTemplate } from "../chat/chat-template.js";
import { fetchedCode } from "../fetched-code.js";
import { type Checkpoint, openCheckpoint } from "../formats/checkpoint.js";
import { MODULES, NO_EMBEDDING } from "../formats/embedding-types.js";
import type { FilesAhead } from "../formats/files-ahead.js";
import { readGenerationConfig } from "../formats/generation-config.js";
import type { ModelFiles } from "../formats/model-files.js";
import { WEIGHTS } from "../formats/shard-index.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { DescribedModel } from "./described-model.js";
import type { ModelFingerprint } from "./model-fingerprint.js";

/**
 * @param files owned from now on, if this succeeds
 * @param fingerprint as `describeModel`
 * @throws LastrowError as the readers of the files; `code_unavailable`
 */
export async function describeFolder(
  files: FilesAhead,
  notices: readonly string[],
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  const texts = fingerprint?.texts(files) ?? files;
  const configFile = await readConfigFile(texts);
  const fetching = fetchFamily(configFile);
  fetching.catch(() => undefined);
  if (fingerprint !== null) {
    // All of it arrives while the family's code does.
    files.begin(WEIGHTS);
    void fetchIf(files.has("tokenizer.json"), fetchTokenizers);
    void fetchIf(files.has(MODULES), fetchEmbeddings);
  }
  const family = await fetching;
  const config = family.config(configFile.json, configFile.name, wanted);
  let checkpoint: Checkpoint | null = null;
  return {
    ...{ config, family, notices, metadata: [] },
    // Before the weights are there the other texts may not be, either.
    defaults: fingerprint === null ? {} : await readGenerationConfig(files, config.vocabSize),
    tokenizer: () => readTokenizer(files, texts, config.vocabSize),
    chatTemplate: () => readChatTemplate(files),
    async embedding() {
      if (!(await files.has(MODULES))) return NO_EMBEDDING;
      const { readEmbeddingSettings } = await fetchEmbeddings();
      return readEmbeddingSettings(files);
    },
    async weights() {
      checkpoint = await openCheckpoint(files);
      return matchTensors(checkpoint, family, config.decoder);
    },
    async close() {
      await checkpoint?.close();
      await files.close();
    },
  };
}

/** @param texts the same files; what is read of them counts */
async function readTokenizer(
  files: FilesAhead,
  texts: ModelFiles,
  vocabSize: number,
): Promise<Tokenizer | null> {
  if (!(await files.has("tokenizer.json"))) {
    // GPT-2's older files; with one of them alone, what reads them says what is missing.
    const older = await Promise.all(["vocab.json", "merges.txt"].map((name) => files.has(name)));
    if (!older.includes(true)) return null;
  }
  const [{ readTokenizerFiles }, { tokenizerOf }] = await fetchTokenizers();
  const read = await readTokenizerFiles(texts);
  return read && tokenizerOf(read, vocabSize);
}

/** Code ahead of its use, which tells what is wrong with it. */
async function fetchIf(isNeeded: Promise<boolean>, fetchCode: () => Promise<unknown>): Promise<void> {
  try {
    if (await isNeeded) await fetchCode();
  } catch {}
}

function fetchEmbeddings() {
  return fetchedCode(import("../formats/embedding-settings.js"));
}

/** A quarter of the code that a page would load at first, which a model without a tokenizer never uses. */
function fetchTokenizers() {
  return Promise.all([
    fetchedCode(import("../tokenizer/tokenizer-files.js")),
    fetchedCode(import("../tokenizer/make-tokenizer.js")),
  ]);
}
