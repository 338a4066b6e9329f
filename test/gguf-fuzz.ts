/** What is expected of a GGUF file whatever it says: it is described to the end, or refused in one sentence. */
import { LastrowError } from "../src/errors.js";
import { describeGguf } from "../src/library/describe-gguf.js";
import { ModelFingerprint } from "../src/library/model-fingerprint.js";
import type { MutatedModel } from "./mutated-gguf.js";

/** One for all: it has memory of its own. */
const fingerprint = new ModelFingerprint();
const CODES = [
  "model_file_invalid",
  "model_unsupported",
  "model_not_found",
  "tokenizer_invalid",
  "chat_template_failed",
];

/** Everything that decides whether a model can be loaded, but for its weights. @returns the code of its refusal, or null */
export async function describeMutated(model: MutatedModel): Promise<string | null> {
  const code = await refusalOf(model);
  if (model.openFiles() !== 0) throw new Error(`${model.openFiles()} files stayed open`);
  // Headers once, and factors of the rotation.
  if (model.bytesRead() > 2 * model.totalBytes) {
    throw new Error(`${model.bytesRead()} bytes were read of ${model.totalBytes}`);
  }
  return code;
}

async function refusalOf(model: MutatedModel): Promise<string | null> {
  try {
    const described = await describeGguf(model, model.names, {}, fingerprint);
    try {
      await described.tokenizer();
      await described.chatTemplate();
      await described.weights();
      return null;
    } finally {
      await described.close();
    }
  } catch (error) {
    if (!(error instanceof LastrowError)) throw error;
    if (!CODES.includes(error.code)) throw new Error(`refused with ${error.code}`, { cause: error });
    if (
      !/^[^\p{Cc}]{20,600}\.$/u.test(error.message) ||
      !/\bm(-\d{5}-of-\d{5})?\.gguf\b/.test(error.message)
    ) {
      throw new Error(`refused with ${JSON.stringify(error.message)}`, { cause: error });
    }
    return error.code;
  }
}
