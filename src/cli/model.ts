/** Loading a model for a command. */
import type { LanguageModel } from "../library/language-model.js";
import { load } from "../library/load.js";
import { printable } from "../printable.js";
import { contextNotice, roundingNotice } from "./format.js";
import { askedVectors, type EngineOptions } from "./options.js";
import { loadingDisplay } from "./progress.js";
import { coloursFor, type Io } from "./terminal.js";

/**
 * Loads a model, and tells on standard error how it was chosen and read, and of a context that is shorter than what it was made for.
 * @throws LastrowError as `load`
 */
export async function loadModel(
  options: EngineOptions,
  io: Io,
  { tellsContext = true }: { readonly tellsContext?: boolean } = {},
): Promise<LanguageModel> {
  const { model, kernels, context, kvMemory, kvDtype, threads, dtype, tokenBudget } = options;
  const display = loadingDisplay(io, printable(model ?? "stories"));
  let lm: LanguageModel;
  try {
    lm = await load(model, {
      kernels,
      contextLength: context,
      kvMemory,
      kvDtype,
      threads,
      vectors: askedVectors(options),
      dtype,
      tokenBudget,
      onProgress: display.onProgress,
      signal: io.signal,
    });
  } finally {
    display.stop();
  }
  const notices = [...lm.info.notices, roundingNotice(lm.info), tellsContext ? contextNotice(lm.info) : null];
  for (const notice of notices) {
    if (notice !== null) io.stderr.write(`${coloursFor(io.stderr, io.env).dim(printable(notice))}\n`);
  }
  return lm;
}
