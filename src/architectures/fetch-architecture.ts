/** The families that run, each fetched when a model of it is loaded: a page needs one. The same as `known-architectures.ts`. */
import { fetchedCode } from "../fetched-code.js";
import type { Architecture } from "./architecture.js";

/** By `model_type`, in the order in which messages list them. */
const FAMILIES: Readonly<Record<string, () => Promise<Architecture>>> = {
  llama: async () => (await fetchedCode(import("./llama.js"))).llama,
  mistral: async () => (await fetchedCode(import("./mistral.js"))).mistral,
  qwen2: async () => (await fetchedCode(import("./qwen2.js"))).qwen2,
  qwen3: async () => (await fetchedCode(import("./qwen3.js"))).qwen3,
  smollm3: async () => (await fetchedCode(import("./smollm3.js"))).smollm3,
  gemma2: async () => (await fetchedCode(import("./gemma2.js"))).gemma2,
  gemma3_text: async () => (await fetchedCode(import("./gemma3.js"))).gemma3Text,
  gemma3: async () => (await fetchedCode(import("./gemma3.js"))).gemma3,
  phi3: async () => (await fetchedCode(import("./phi3.js"))).phi3,
  granite: async () => (await fetchedCode(import("./granite.js"))).granite,
  olmo2: async () => (await fetchedCode(import("./olmo2.js"))).olmo2,
  stablelm: async () => (await fetchedCode(import("./stablelm.js"))).stablelm,
  gpt_neox: async () => (await fetchedCode(import("./gpt-neox.js"))).gptNeox,
  gpt_neo: async () => (await fetchedCode(import("./gpt-neo.js"))).gptNeo,
  gpt2: async () => (await fetchedCode(import("./gpt2.js"))).gpt2,
};

export const MODEL_TYPES: readonly string[] = Object.keys(FAMILIES);

/**
 * The family of a `model_type`, or null.
 * @throws LastrowError `code_unavailable`
 */
export async function fetchArchitecture(modelType: unknown): Promise<Architecture | null> {
  if (typeof modelType !== "string" || !Object.hasOwn(FAMILIES, modelType)) return null;
  return FAMILIES[modelType]();
}
