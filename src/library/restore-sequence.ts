/** How a sequence that is held by hand begins with what was saved of one. */
import { Sequence } from "../client/sequence.js";
import { checkOptions } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { SavedSequence } from "../saved-sequence/read-sequence.js";
import { openSaved, type SavedSource } from "../saved-sequence/saved-source.js";
import { type HoldingModel, type RestoreOptions, sequenceModel } from "./begin-sequence.js";

const RESTORE_OPTIONS = optionNames<RestoreOptions>()("restore", {
  ...{ parseSpecial: true, salt: true, tenant: true, signal: true, expectRoom: true },
});

/** See `LanguageModel.restore`. */
export async function restoreSequence(
  model: HoldingModel,
  source: SavedSource,
  options: RestoreOptions,
): Promise<Sequence> {
  checkOptions(options, RESTORE_OPTIONS);
  const { salt = "", tenant = "", signal } = options;
  const { identity, kv, spareMemory } = model.storage;
  const { vocabSize, contextLength, maxContextLength } = model.prompted.config;
  const file = await openSaved(source);
  try {
    const expected = { identity: await identity(), kv, vocabSize, contextLength, maxContextLength };
    const saved = await SavedSequence.open(file, expected, spareMemory);
    options.expectRoom?.(saved.tokens.length);
    const whose = { salt, tenant, signal };
    return await Sequence.restore(model.engine, saved, whose, sequenceModel(model, options));
  } finally {
    await file.close();
  }
}
