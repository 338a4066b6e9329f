/** Architectures of GGUF files that are known and do not run: which families of `refused-architectures.ts` they are. */
import { whyRefused } from "../refused-architectures.js";

/** `general.architecture` → `model_type`, where they differ. */
const MODEL_TYPES: Readonly<Record<string, string>> = {
  qwen2moe: "qwen2_moe",
  qwen3moe: "qwen3_moe",
  qwen3next: "qwen3_next",
  qwen35moe: "qwen3_5_moe",
  qwen2vl: "qwen2_vl",
  qwen3vl: "qwen3_vl",
  granitehybrid: "granitemoehybrid",
  "flex-olmo": "flex_olmo",
  "ernie4_5-moe": "ernie4_5_moe",
  glm4moe: "glm4_moe",
  "hunyuan-moe": "hunyuan_v1_moe",
  "minimax-m2": "minimax_m2",
  lfm2moe: "lfm2_moe",
  nemotron_h_moe: "nemotron_h",
  "falcon-h1": "falcon_h1",
  "nomic-bert": "nomic_bert",
  "modern-bert": "modernbert",
  "gpt-oss": "gpt_oss",
  deepseek2: "deepseek_v2",
  starcoder: "gpt_bigcode",
  "command-r": "cohere",
  phi2: "phi",
  gptj: "gptj",
  rwkv6: "rwkv",
  rwkv7: "rwkv",
  t5encoder: "t5",
};

/** Why an architecture is not run, as the rest of a sentence; null for one that is not known. */
export function whyGgufRefused(architecture: string): string | null {
  const modelType = Object.hasOwn(MODEL_TYPES, architecture) ? MODEL_TYPES[architecture] : architecture;
  return whyRefused(modelType);
}
