/** Loading a model for a command. */
import type { LanguageModel } from "../library/language-model.js";
import { load } from "../library/load.js";
import { printable } from "../printable.js";
import type { EngineOptions } from "./options.js";
import { loadingDisplay } from "./progress.js";
import type { Io } from "./terminal.js";

/** @throws LastrowError as `load` */
export async function loadModel(options: EngineOptions, io: Io): Promise<LanguageModel> {
  const { model, kernels, context, kvMemory, kvDtype, threads, dtype, tokenBudget } = options;
  const display = loadingDisplay(io, printable(model ?? "stories"));
  try {
    return await load(model, {
      kernels,
      contextLength: context,
      kvMemory,
      kvDtype,
      threads,
      dtype,
      tokenBudget,
      onProgress: display.onProgress,
      signal: io.signal,
    });
  } finally {
    display.stop();
  }
}
