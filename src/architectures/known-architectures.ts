/** The families that run. A new one is a file beside this one and a line here: docs/adding-a-model.md. */
import type { Architecture } from "./architecture.js";
import { gpt2 } from "./gpt2.js";

/** In the order in which messages list them. */
export const knownArchitectures: readonly Architecture[] = [gpt2];

/** The family of a `model_type`, or null. */
export function architectureOf(modelType: unknown): Architecture | null {
  return knownArchitectures.find(({ id }) => id === modelType) ?? null;
}

/**
 * The same, of a config that was read by its family.
 * @throws Error when there is none: the config was made up
 */
export function expectArchitecture(modelType: string): Architecture {
  const architecture = architectureOf(modelType);
  if (architecture === null) throw new Error(`no family has model_type ${modelType}`);
  return architecture;
}
