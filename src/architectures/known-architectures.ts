/** The families that run. A new one is a file beside this one and a line here: docs/adding-a-model.md. */
import type { Architecture } from "./architecture.js";
import { gemma2 } from "./gemma2.js";
import { gemma3, gemma3Text } from "./gemma3.js";
import { gptNeo } from "./gpt-neo.js";
import { gptNeox } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { granite } from "./granite.js";
import { llama } from "./llama.js";
import { mistral } from "./mistral.js";
import { olmo2 } from "./olmo2.js";
import { phi3 } from "./phi3.js";
import { qwen2 } from "./qwen2.js";
import { qwen3 } from "./qwen3.js";
import { smollm3 } from "./smollm3.js";
import { stablelm } from "./stablelm.js";

/** In the order in which messages list them. */
export const knownArchitectures: readonly Architecture[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  smollm3,
  gemma2,
  gemma3Text,
  gemma3,
  phi3,
  granite,
  olmo2,
  stablelm,
  gptNeox,
  gptNeo,
  gpt2,
];

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
